"""Kills and damages at random, until time or numbers are reached.

    python -m benchmarks.soak --minutes=60 --seed=1

Two lanes run side by side:

* `kills`: a command that writes is sent a signal at a random moment; then the same
  command runs again, and what it leaves is compared with what one leaves that was not
  disturbed. Now and then a damaged input is given to a whole command instead.
* `damages`: a file of a store, run, checkpoint, index, model or list is damaged, and
  what commands call to read it is called, in one process that stays.

Commands are forks of this process, which has imported what they need and has started
neither JAX's backend nor a thread (`forked`). The n-th action is drawn from seed and n
alone, so the same seed gives the same actions in the same order; at which instruction a
signal arrives, the machine decides.
"""
