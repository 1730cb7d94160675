"""The parts of ``trpo-run --help`` that no setting declares."""

USAGE = """\
usage: trpo-run [group=option ...] [key=value ...] [-m] [--help | --help=all]
Train a policy: trpo-run algo=ppo env=Hopper-v4"""

SHORT = """\
examples: trpo-run env=CartPole-v1 seed=1; trpo-run resume=last goes on with it
  trpo-run -m algo=trpo,ppo env=CartPole-v1 seed=1,2,3   a sweep of six runs
options: -m, -q, -cd DIR, --watch DIR, --until-decided, --selftest, --autotune,
  --restorable, --cfg job, --version; --help=all has these and all settings"""

EXAMPLES = """\
examples
  trpo-run                                        TRPO on Hopper-v4
  trpo-run algo=ppo env=CartPole-v1 seed=1        any Gymnasium id, registered or module:Id-v0
  trpo-run algo.max_kl=0.01 total_steps=3e6       settings by their dotted key
  trpo-run -m algo=trpo,ppo seed=1,2,3            six runs, as many at a time as there are cores
  trpo-run -m algo=trpo,ppo --until-decided       as many seeds as it takes
  trpo-run resume=last                            go on with the last run or sweep
  trpo-run resume=SWEEP_DIR                       go on with a sweep: what is left of its runs
  trpo-run env=ALE/Pong-v5 algo=ppo               Atari (pip install "trpo_cli[atari]")
  trpo-run algo=trpo sampler=vine env=Hopper-v4   several actions tried in restored states
  trpo-run resume=RUN_DIR total_steps=2e6         go on with a run, here with a new end
  trpo-run --watch last                           how far the last run or sweep is
  torchrun --nproc-per-node=2 -m trpo_cli ...     one run by several processes
  trpo-run --selftest env=Hopper-v4 algo=ppo      does what is promised hold on this machine?
  trpo-run algo=ppo --help                        on one screen what that would run"""

OPTIONS = """\
options
  -m, --multirun              a sweep: one run for each combination of comma-separated values
  --until-decided             with -m: a race, which adds seeds until the order of
                              the groups is decided; --max-seeds N (20) and
                              --max-hours H bound it, --difference 10% (or 100)
                              is the smallest that matters, --error-rate P (0.05)
                              the probability of a wrong decision
  -q, --quiet                 print results and warnings only, no progress
  --watch DIR                 show how far the run or sweep in a folder is, until it ends
  -cd, --config-dir DIR       a folder of your own YAML files, laid out like conf/
  --cfg job|hydra|all         print the configuration instead of running (--resolve, --package)
  --info [all|config|defaults|defaults-tree|plugins|searchpath]
                              where Hydra found what
  -sc, --shell-completion     eval "$(trpo-run -sc install=bash)" (or zsh, fish)
  --trust                     with resume=: import and launch what a directory from somebody else
                              names; runs and sweeps of your own need no such word
  --selftest                  try out here, in seconds and a temporary folder, with the env=...
                              and algo=... given: is a run repeated by its seed, the same on two
                              threads, and the same after a kill and a resumption?
  --autotune                  try numbers of environments, threads and worker processes for a few
                              seconds each, and print the fastest at the same batch;
                              --autotune-file FILE.yaml writes them
  --restorable                try out here whether env=... can be brought back exactly: to resume a
                              run, and for sampler=vine
  -h, --help                  one screen on what is chosen; --help=all: all there is
  --hydra-help   --version

output
  hydra.run.dir=DIR           a run's directory; otherwise
                              outputs/<env>/<algo>/<sampler>/<date_time>_<seed>_<hash>
  hydra.sweep.dir=DIR         a sweep's directory; otherwise outputs/multirun/<date_time>. It holds
                              sweep.json and, by number, each run's directory and N.log with what
                              the run printed

sweeps
  hydra.launcher.jobs=N       how many runs go on at a time, each with its share of the cores;
                              otherwise as many as there are cores, or cores / threads=...
  hydra/launcher=NAME         who starts the runs: workers (processes here, the default), basic (one
                              after the other), joblib (pip install "trpo_cli[joblib]"), or
                              submitit_slurm on a cluster ("trpo_cli[slurm]"), where a run that is
                              preempted writes a checkpoint, queues again and goes on

signals
  Ctrl-C, SIGTERM and SIGUSR1 end the iteration and write a checkpoint; resume=RUN_DIR then goes on
  as if nothing had happened. A second Ctrl-C stops at once. A sweep passes them to all its runs.

exit status: 0 done, 2 bad input, 3 a run failed (crash_<step>/ in its directory says on what),
 128 + n stopped by signal n (Ctrl-C: 130)."""
