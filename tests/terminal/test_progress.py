import contextlib
import io
import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import pytest

from trpo_cli.components import SamplerTraits
from trpo_cli.terminal import evaluating
from trpo_cli.terminal import progress as progress_module
from trpo_cli.terminal.display import PlainLines, duration, time_limit, write_anything
from trpo_cli.terminal.evaluating import Waiting
from trpo_cli.terminal.progress import Progress

CONFIG = SimpleNamespace(
    total_steps=100_000,
    algo=SimpleNamespace(name="trpo", max_kl=0.02),
    env=SimpleNamespace(id="Hopper-v4"),
    policy=SimpleNamespace(name="mlp"),
    value=SimpleNamespace(name="mlp"),
    sampler=SimpleNamespace(num_envs=10, steps_per_env=10, traits=SamplerTraits()),
    seed=7,
)
FACTS = {
    "seed": 7,
    "device": "cpu",
    "device_reason": "as asked",
    "backend": "mujoco",
    "observations": "12 KiB",
    "threads": 1,
    "max_episode_steps": 1000,
    "parameters": 12_345,
}


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    now = SimpleNamespace(seconds=1000.0)
    fake = SimpleNamespace(monotonic=lambda: now.seconds)
    for module in (progress_module, evaluating):
        monkeypatch.setattr(module, "time", fake)
    return now


def run(progress, clock, seconds_per_update, updates=1000):
    for i in range(1, updates + 1):
        clock.seconds += seconds_per_update
        progress.update(
            {
                "step": 100 * i,
                "train/return_recent": None if i == 1 else float(i),
                "policy/kl": 0.0123,
                "trust_region/accepted": int(i % 10 != 0),
                "trust_region/reason": None if i % 10 else "no improvement",
            }
        )


class TestPlain:
    def test_banner(self, tmp_path):
        out = io.StringIO()
        Progress(CONFIG, FACTS, tmp_path, out).banner()
        text = out.getvalue()
        for part in (
            "trpo on Hopper-v4, seed 7",
            "device cpu (as asked), 1 thread, mujoco environments",
            "policy mlp, value mlp; the observations of an update take 12 KiB",
            "10 environments x 10 steps = 100 steps per update, 100,000 steps to do",
            "12,345 parameters",
            "cut after 1,000 steps",
            str(tmp_path),
        ):
            assert part in text

    @pytest.mark.parametrize(
        ("gives", "size"),
        [
            ("branches", "100 steps of the trunk per update and those of its rollouts, 100,000"),
            ("evaluations", "10 steps = up to 100 steps per update, 100,000"),
        ],
    )
    def test_an_update_of_another_sampler(self, tmp_path, gives, size):
        sampler = SimpleNamespace(num_envs=10, steps_per_env=10, traits=SamplerTraits(gives))
        config = SimpleNamespace(**{**vars(CONFIG), "sampler": sampler})
        out = io.StringIO()
        Progress(config, FACTS, tmp_path, out).banner()
        assert size in out.getvalue()

    @pytest.mark.parametrize(
        ("seconds_per_update", "low", "high"),
        [
            (0.0001, 2, 2),  # a run of 0.1 s: the first line and the last one
            (0.06, 19, 22),  # a minute: one line per 5 %
            (36.0, 110, 130),  # ten hours: one line per five minutes
        ],
    )
    def test_few_lines(self, tmp_path, clock, seconds_per_update, low, high):
        out = io.StringIO()
        run(Progress(CONFIG, FACTS, tmp_path, out), clock, seconds_per_update)
        assert low <= out.getvalue().count("\n") <= high

    def test_a_line(self, tmp_path, clock):
        out = io.StringIO()
        progress = Progress(CONFIG, FACTS, tmp_path, out)
        run(progress, clock, 0.5, updates=101)
        last = out.getvalue().splitlines()[-1]
        # 10,100 steps in 50.5 s are 200 per second: 89,900 left take 449.5 s
        facts = " 10%  step 10,100  return 101  KL 0.0123 of 0.02  accepted 91 of 101  "
        assert last.startswith(f"{facts}200 steps/s  7 min 30 s left  ") and last.endswith(" MiB")
        assert "\x1b" not in out.getvalue()
        assert "return -" in out.getvalue().splitlines()[0]  # no episode has ended yet

    def test_a_resumed_runs_rate_counts_its_own_steps(self, tmp_path, clock):
        out = io.StringIO()
        progress = Progress(CONFIG, {**FACTS, "steps_done": 50_000}, tmp_path, out)
        clock.seconds += 10.0
        progress.update({"step": 51_000})
        assert "100 steps/s" in out.getvalue() and "51%" in out.getvalue()

    def test_the_first_update_is_no_measure_of_the_speed(self, tmp_path, clock):
        """It takes 60 s, in which functions are compiled; 100 steps take 0.5 s from then on."""
        out = io.StringIO()
        progress = Progress(CONFIG, FACTS, tmp_path, out)
        clock.seconds += 60.0
        progress.update({"step": 100})
        for i in range(2, 101):
            clock.seconds += 0.5
            progress.update({"step": 100 * i})
        first, *others = out.getvalue().splitlines()
        assert "2 steps/s" in first and others
        assert all("  200 steps/s  " in line for line in others)

    def test_summary(self, tmp_path, clock):
        (tmp_path / "metrics.jsonl").touch()
        (tmp_path / "checkpoints").mkdir()
        out = io.StringIO()
        progress = Progress(CONFIG, FACTS, tmp_path, out)
        run(progress, clock, 0.1)
        out.truncate(0)
        record = {
            "deterministic": False,
            "episodes": 20,
            "return_mean": 3000.0,
            "return_std": 12.5,
        }
        progress.summary("finished", evaluation=record)
        text = out.getvalue()
        for part in (
            "finished after 100,000 of 100,000 steps, 1 min 40 s, 1,000 steps/s",
            "first 2, last 1000, best 1000",
            "final evaluation (sampled actions, 20 episodes): 3000 ± 12.5",
            "rejected steps: 100 of 1000 (100 x no improvement)",
            f"trpo-eval {tmp_path}",
            f"tensorboard --logdir_spec trpo_Hopper-v4_s7:{tmp_path}",
            "metrics.jsonl, checkpoints",
        ):
            assert part in text

    def test_an_early_end(self, tmp_path):
        out = io.StringIO()
        folder = tmp_path / "with space"
        Progress(CONFIG, FACTS, folder, out).summary("interrupted", "Ctrl-C")
        assert "interrupted after 0 of 100,000 steps" in out.getvalue()
        assert "Ctrl-C" in out.getvalue() and "no training episode" in out.getvalue()
        assert "trpo-eval" not in out.getvalue()  # there is no checkpoint
        assert f"--logdir '{folder}'" in out.getvalue()  # as a shell needs it
        assert "rejected" not in out.getvalue()  # an algorithm without a trust region

    def test_an_evaluation_tells_how_far_it_is_and_is_no_training(self, tmp_path, clock):
        """100 s of training at 1,000 steps/s, then 50 s of evaluation: a line at 20 and 40 s."""
        out = io.StringIO()
        progress = Progress(CONFIG, FACTS, tmp_path, out)
        run(progress, clock, 0.1)
        with progress.evaluation("final evaluation", 10) as told:
            for second in range(50):
                told(second // 10, 16 * second)
                clock.seconds += 1
        said = [line for line in out.getvalue().splitlines() if "final" in line]
        assert said == [
            "final evaluation: 2 of 10 episodes ended  320 steps  20 s",
            "final evaluation: 4 of 10 episodes ended  640 steps  40 s",
        ]
        progress.summary("finished", seconds=150.0)
        assert (
            "finished after 100,000 of 100,000 steps, 2 min 30 s, 50 s of them for evaluation, "
            "1,000 steps/s" in out.getvalue()
        )

    def test_a_failure_is_told_once_and_goes_on_only_from_a_checkpoint(self, tmp_path):
        for there, words in ((False, 0), (True, 1)):
            if there:
                (tmp_path / "checkpoints").mkdir()
            out = io.StringIO()
            Progress(CONFIG, FACTS, tmp_path, out).summary("failed", "the arm fell off")
            assert "failed after 0 of 100,000 steps" in out.getvalue()
            assert "the arm" not in out.getvalue()  # that stands on stderr
            assert out.getvalue().count("resume=") == words

    def test_a_reader_that_left_stops_nothing(self, tmp_path):
        class Closed(io.StringIO):
            def write(self, text: str) -> int:
                raise BrokenPipeError

        Progress(CONFIG, FACTS, tmp_path, Closed()).banner()
        lines = (
            "from trpo_cli.terminal.display import PlainLines; import sys; "
            "p = PlainLines(sys.stdout)"
        )
        code = f"{lines}; [p.print('x' * 1000) for _ in range(1000)]"
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert done.returncode == 0 and not done.stderr

    def test_a_terminal_of_few_characters(self, tmp_path):
        raw = io.BytesIO()
        out = io.TextIOWrapper(raw, encoding="ascii")
        write_anything(out)
        PlainLines(out).print("1 ± 2 ▁█ é")
        assert raw.getvalue() == b"1 +- 2 _# ?\n"

    def test_rich_is_not_imported(self):
        code = (
            "import io, sys; from types import SimpleNamespace as N; "
            "from pathlib import Path; from trpo_cli.terminal.progress import Progress; "
            "config = N(total_steps=1, algo=N(name='x'), env=N(id='y')); "
            "Progress(config, {}, Path('.'), io.StringIO()).update({'step': 1}); "
            "sys.exit('rich' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_command_that_waits_tells_it_on_standard_error(capsys, clock):
    waiting = Waiting()
    teller = waiting.teller("runs/1 sampled", 4)
    for second in range(50):
        teller(second // 20, 10 * second)
        clock.seconds += 1
    waiting.close()
    said = capsys.readouterr()
    assert said.out == "" and said.err.splitlines() == [
        "runs/1 sampled: 1 of 4 episodes ended  200 steps  20 s",
        "runs/1 sampled: 2 of 4 episodes ended  400 steps  40 s",
    ]


def test_live_line_on_a_terminal(tmp_path, clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        progress = Progress(CONFIG, FACTS, tmp_path, terminal)
        run(progress, clock, 0.05, updates=100)  # 5 s: about 10 drawings
        progress.note("a note")
        progress.summary("interrupted")
        progress.close()
    data = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while piece := os.read(master, 4096):
            data += piece
    os.close(master)
    text = data.decode()
    assert 8 <= text.count("KL 0.0123") <= 14
    assert "a note" in text and "interrupted after 10,000" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_time_limit_in_words():
    assert "no time limit" in time_limit(None)
    assert "1 step;" in time_limit(1) and "value function stands" in time_limit(1)
    assert "are missing" in time_limit(1, value=False)
