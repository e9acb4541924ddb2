"""What nepiq costs, measured beside its peers in one run: ``python -m tests.benchmarks``.

A *workload* is one span, the same for every *side*: nepiq, bare Celery, asynciojobs. The sides
take turns, so that a busy machine slows them alike. Ratios inside one run say more than figures.
"""
