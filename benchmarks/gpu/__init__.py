"""What is to be known of a GPU, in one command: equality, speed, memory.

`bash launch/gpu_check.sh` runs it. `stages` says what is measured and in which order;
a stage's module has its steps; `worker` carries them out in a process of their own,
which `watched` guards; `results` keeps what they find, and `tables` shows it.
"""
