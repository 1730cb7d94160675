// The page's figures: uPlot draws them, this file gives it the data and wires the controls.
// Text from run directories goes in as text nodes and canvas text only, never as markup.
(() => {
  "use strict";
  const root = document.documentElement;
  const looks = JSON.parse(document.getElementById("looks").textContent);
  const words = { steps: "environment steps", seconds: "wall-clock seconds", updates: "updates" };
  const names = { steps: "steps", seconds: "wall clock", updates: "updates" };
  const hidden = new Set();
  let axis = null;
  let figures = [];

  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const stroke = (group) => css(`--c${looks[group].colour}`);
  const faint = (group, share) => `color-mix(in srgb, ${stroke(group)} ${share}%, transparent)`;

  function short(value) {
    if (value === null || value === undefined) return "";
    const size = Math.abs(value);
    const trimmed = (v) => String(Number(v.toPrecision(4)));
    if (size > 0 && size < 1e-3) return value.toExponential().replace("e-0", "e-");
    if (size >= 1e6) return trimmed(value / 1e6) + "M";
    if (size >= 1e4) return trimmed(value / 1e3) + "k";
    return trimmed(value);
  }

  const exact = (value) =>
    Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));

  function element(tag, name, text) {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // One uPlot series for each line; ends of a band have no stroke of their own.
  function series(line) {
    const look = looks[line.group];
    const lone = line.y.filter((value) => value !== null).length === 1; // a dot, not a line
    const made = { label: line.group, show: !hidden.has(line.group), spanGaps: true, points: { show: lone, size: 9 } };
    if (line.kind === "low" || line.kind === "high") return { ...made, stroke: "transparent", width: 0 };
    if (line.kind === "run") return { ...made, stroke: faint(line.group, 55), width: 1 };
    if (line.kind === "bound") return { ...made, stroke: stroke(line.group), width: 1, dash: [2, 3] };
    return { ...made, stroke: stroke(line.group), width: 2, dash: look.dash.map((v) => 1.4 * v) };
  }

  // A band goes from a group's high to its low, which stands before it.
  const bands = (lines) =>
    lines.flatMap((line, i) =>
      line.kind === "high" ? [{ series: [i + 1, i], fill: faint(line.group, 14) }] : []);

  function marks(figure) {
    return (u) => {
      for (const mark of figure.data.axes[axis].marks) {
        if (hidden.has(mark.group)) continue;
        const x = u.valToPos(mark.x, "x", true);
        const at = (value) => u.valToPos(value, "y", true);
        const std = mark.std ?? 0;
        const line = (draw) => { u.ctx.beginPath(); draw(); u.ctx.stroke(); };
        u.ctx.save();
        u.ctx.strokeStyle = stroke(mark.group);
        u.ctx.lineWidth = devicePixelRatio;
        u.ctx.setLineDash([]);
        line(() => { u.ctx.moveTo(x, at(mark.mean - std)); u.ctx.lineTo(x, at(mark.mean + std)); });
        line(() => u.ctx.arc(x, at(mark.mean), (mark.final ? 5 : 3.5) * devicePixelRatio, 0, 2 * Math.PI));
        if (mark.final) {
          u.ctx.fillStyle = stroke(mark.group);
          u.ctx.fill();
        }
        u.ctx.restore();
      }
    };
  }

  // What the pointer stands over: the mean of each group there, and from where to where it ranges.
  function readings(figure, index) {
    const found = new Map();
    for (const line of figure.data.axes[axis].lines) {
      const value = line.y[index];
      if (hidden.has(line.group) || value === null || line.kind === "bound") continue;
      if (!found.has(line.group)) found.set(line.group, { mean: null, others: [] });
      if (line.kind === "mean") found.get(line.group).mean = value;
      else found.get(line.group).others.push(value);
    }
    return [...found].filter(([, r]) => r.mean !== null).sort((a, b) => b[1].mean - a[1].mean);
  }

  function tip(figure) {
    return (u) => {
      const { idx, left, top } = u.cursor;
      const box = figure.tip;
      const rows = idx === null || idx === undefined || left < 0 ? [] : readings(figure, idx);
      box.hidden = rows.length === 0 || !u.over.matches(":hover");
      if (box.hidden) return;
      box.replaceChildren(element("b", "", `${exact(u.data[0][idx])} ${words[axis]}`));
      for (const [group, { mean, others }] of rows) {
        const row = element("div");
        const key = element("i");
        key.style.background = stroke(group);
        row.append(key, element("span", "", group), element("em", "", exact(mean)));
        if (others.length)
          row.append(element("small", "", `${exact(Math.min(...others))} to ${exact(Math.max(...others))}`));
        box.append(row);
      }
      const inner = u.over.getBoundingClientRect();
      const outer = figure.holder.getBoundingClientRect();
      const x = inner.left - outer.left + left;
      const beside = x + 14 + box.offsetWidth < outer.width ? x + 14 : x - 14 - box.offsetWidth;
      box.style.left = `${Math.max(0, Math.min(beside, outer.width - box.offsetWidth))}px`;
      box.style.top = `${Math.max(0, inner.top - outer.top + top - box.offsetHeight - 10)}px`;
    };
  }

  // The same room around the data as in the drawing, whatever is hidden.
  function range(figure) {
    const log = figure.data.log;
    return (u, low, high) => {
      if (low === null) return [0.1, 1];
      if (!log)
        for (const mark of figure.data.axes[axis].marks)
          if (!hidden.has(mark.group)) {
            low = Math.min(low, mark.mean - (mark.std ?? 0));
            high = Math.max(high, mark.mean + (mark.std ?? 0));
          }
      if (log) return uPlot.rangeLog(low, high, 10, false);
      const room = 0.06 * (high - low) || 0.05 * Math.abs(low) || 0.5;
      return [low - room, high + room];
    };
  }

  // Powers of ten; where fewer than two are seen, 2 and 5 times them as well.
  const powers = (u, splits) => {
    const few = Math.log10(u.scales.y.max / u.scales.y.min) < 2;
    return splits.map((value) => {
      const leading = Number(value.toExponential(6).split("e")[0]);
      return leading === 1 || (few && (leading === 2 || leading === 5)) ? value : null;
    });
  };

  const across = (figure) => (u, low, high) => {
    const whole = low === u.data[0][0] && high === u.data[0].at(-1);
    const ends = figure.data.axes[axis].marks.map((mark) => mark.x);
    return whole ? [0, 1.02 * Math.max(high, ...ends)] : [low, high];
  };

  function draw(figure) {
    const { x, lines } = figure.data.axes[axis];
    figure.plot?.destroy();
    const ink = css("--ink");
    const rule = { stroke: css("--rule"), width: 1 };
    const font = "12px system-ui, sans-serif";
    const steps = ({ data }) => (data.log ? { filter: powers, grid: { ...rule, filter: powers } } : {});
    const look = {
      stroke: ink, font, labelFont: font, grid: rule, ticks: { show: false }, values: (u, at) => at.map(short),
    };
    const options = {
      width: figure.holder.clientWidth,
      height: figure.height,
      padding: [10, 10, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: false, range: across(figure) },
        y: { distr: figure.data.log ? 3 : 1, range: range(figure) },
      },
      axes: [
        { ...look, size: 30, label: words[axis], labelSize: 20, space: 60 },
        { ...look, ...steps(figure), size: 46, label: figure.data.unit, labelSize: 20, space: 34 },
      ],
      series: [{}, ...lines.map(series)],
      bands: bands(lines),
      cursor: {
        drag: { x: true, y: true, uni: 40, dist: 5 },
        points: { show: false },
        sync: { key: figure.section.id, setSeries: false, scales: ["x", null] },
      },
      hooks: { draw: [marks(figure)], setCursor: [tip(figure)] },
    };
    figure.plot = new uPlot(options, [x, ...lines.map((line) => line.y)], figure.holder);
    figure.holder.append(figure.tip);
  }

  const drawAll = () => figures.forEach(draw);

  function toggle(group) {
    if (!hidden.delete(group)) hidden.add(group);
    for (const button of document.querySelectorAll(".legend button"))
      if (button.dataset.group === group) button.setAttribute("aria-pressed", String(!hidden.has(group)));
    drawAll();
  }

  function save(name, blob) {
    const link = element("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  const fileName = (figure, kind) =>
    `${figure.section.id}_${figure.data.title}_${axis}.${kind}`.replace(/[^\w.-]+/g, "_");

  function saveData(figure) {
    const { x, lines } = figure.data.axes[axis];
    const shown = lines.filter((line) => !hidden.has(line.group));
    const quoted = (text) => `"${text.replace(/"/g, '""')}"`;
    const kinds = new Map();
    const heads = shown.map(({ group, kind }) => {
      const count = (kinds.get(group + kind) ?? 0) + 1;
      kinds.set(group + kind, count);
      return quoted(`${group} ${kind}${kind === "run" ? ` ${count}` : ""}`);
    });
    const rows = x.map((at, i) => [at, ...shown.map((line) => line.y[i] ?? "")].join(","));
    const text = [[quoted(words[axis]), ...heads].join(","), ...rows, ""].join("\n");
    save(fileName(figure, "csv"), new Blob([text], { type: "text/csv" }));
  }

  // The figure as it is seen, with its title and its legend.
  function savePicture(figure) {
    const canvas = figure.plot.ctx.canvas;
    const scale = devicePixelRatio;
    const groups = [...new Set(figure.data.axes[axis].lines.map((line) => line.group))].filter((g) => !hidden.has(g));
    const head = (44 + 18 * Math.ceil(groups.length / 3)) * scale;
    const whole = element("canvas");
    whole.width = canvas.width;
    whole.height = canvas.height + head;
    const pen = whole.getContext("2d");
    pen.fillStyle = css("--paper");
    pen.fillRect(0, 0, whole.width, whole.height);
    pen.drawImage(canvas, 0, head);
    pen.scale(scale, scale);
    pen.font = "600 14px system-ui, sans-serif";
    pen.fillStyle = css("--ink");
    pen.fillText(figure.data.title, 12, 22);
    pen.font = "12px system-ui, sans-serif";
    groups.forEach((group, i) => {
      const x = 12 + (i % 3) * ((whole.width / scale - 24) / 3);
      const y = 44 + 18 * Math.floor(i / 3);
      pen.strokeStyle = stroke(group);
      pen.lineWidth = 2;
      pen.setLineDash(looks[group].dash);
      pen.beginPath();
      pen.moveTo(x, y - 4);
      pen.lineTo(x + 26, y - 4);
      pen.stroke();
      pen.fillText(group, x + 32, y, (whole.width / scale - 24) / 3 - 36);
    });
    whole.toBlob((blob) => save(fileName(figure, "png"), blob));
  }

  // A drawing as a file: in the colours of the page, as they are now.
  function saveDrawing(node) {
    const drawing = node.querySelector("svg.panel").cloneNode(true);
    drawing.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    const text = new XMLSerializer().serializeToString(drawing);
    const plain = text.replace(/var\((--\w+)\)/g, (whole, name) => css(name));
    const title = node.querySelector("figcaption").textContent;
    const name = `${node.closest("section").id}_${title}.svg`.replace(/[^\w.-]+/g, "_");
    save(name, new Blob([plain], { type: "image/svg+xml" }));
  }

  function offerTools(node, tools) {
    const bar = element("div", "tools");
    for (const [text, title, action] of tools) {
      const button = element("button", "", text);
      button.type = "button";
      button.title = title;
      button.addEventListener("click", action);
      bar.append(button);
    }
    node.append(bar);
  }

  function set(node) {
    const data = JSON.parse(node.querySelector("script").textContent);
    const holder = element("div", "chart");
    const figure = { node, data, holder, section: node.closest("section"), tip: element("div", "tip") };
    figure.height = node.closest(".panels").classList.contains("lone") ? 340 : 250;
    figure.tip.hidden = true;
    holder.setAttribute("role", "img");
    holder.setAttribute("aria-label", `${data.title}: ${data.unit}. The tables have the numbers.`);
    node.querySelector("svg.panel").before(holder);
    offerTools(node, [
      ["PNG", "Save this figure as it is seen", () => savePicture(figure)],
      ["CSV", "Save the data of this figure", () => saveData(figure)],
      ["Reset", "Show everything again (or a double click)", () => draw(figure)],
    ]);
    node.classList.add("live");
    return figure;
  }

  // One choice for the whole page; axes that some figure has not are not offered.
  function offer(section) {
    const bar = element("fieldset", "axis");
    bar.append(element("legend", "", "Horizontal axis"));
    for (const name of Object.keys(words)) {
      if (!figures.every((figure) => name in figure.data.axes)) continue;
      const label = element("label");
      const input = element("input");
      Object.assign(input, { type: "radio", name: `axis-${section.id}`, value: name, checked: name === axis });
      input.addEventListener("change", () => {
        axis = name;
        for (const other of document.querySelectorAll(".axis input")) other.checked = other.value === axis;
        drawAll();
      });
      label.append(input, element("span", "", names[name]));
      bar.append(label);
    }
    section.querySelector(".bar").append(bar);
  }

  root.classList.add("js");
  // Beside the ranking there is room for what it rests on.
  if (matchMedia("(min-width: 1700px)").matches) document.querySelector(".why").open = true;
  for (const node of document.querySelectorAll("figure:not(:has(> script))"))
    offerTools(node, [["SVG", "Save this figure", () => saveDrawing(node)]]);
  for (const button of document.querySelectorAll("#videos .play")) {
    const films = [...document.querySelectorAll("#videos video")];
    button.hidden = !films.length;
    button.addEventListener("click", () => films.forEach((film) => { film.currentTime = 0; film.play(); }));
  }
  const nodes = [...document.querySelectorAll("figure:has(> script)")];
  figures = nodes.map(set);
  if (!figures.length) return;
  axis = figures[0].data.axis;
  new Set(figures.map((figure) => figure.section)).forEach(offer);
  drawAll();
  for (const button of document.querySelectorAll(".legend button")) {
    button.disabled = false;
    button.title = "Hide or show in all figures of this page";
    button.addEventListener("click", () => toggle(button.dataset.group));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  new ResizeObserver(() => {
    for (const { plot, holder, height } of figures)
      if (plot.width !== holder.clientWidth && holder.clientWidth) plot.setSize({ width: holder.clientWidth, height });
  }).observe(document.body);
})();
