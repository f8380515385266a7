"""
What fluentlite costs, measured: ``python -m bench``, or ``make bench``.

Timings judge nothing here but are compared with the budgets in words; a line that is missing, or that comes
twice, is an error.
"""
