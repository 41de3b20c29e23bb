"""Settings of all tests."""

import os

# Tests run beside others: the threads of several processes that wait for each other on few cores
# made a study of 13 seconds last for minutes. Set before torch is loaded; child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
