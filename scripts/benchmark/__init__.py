"""What scripts/bench.py measures, how, and how it says so.

worker     a thing to measure in a process of its own
pairs      two of them in turn: ratios and their spread
ceilings   the physics, or the emulator, alone
ours       iterations of training, the vine's rollouts
others     stable-baselines3 and sb3-contrib
report     tables in Markdown
"""
