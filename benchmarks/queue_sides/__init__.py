"""The queues that are measured against each other, each as a program: `install`, `fill N`, `work`, `ask N`.

`install` makes its tables, `fill` queues N jobs at once, `work` runs worker processes until SIGTERM, and `ask` queues
jobs one at a time and prints how long each took to start. Every no-op job writes one record to the trace.
"""
