"""Exit codes of `asrq`, which scripts rely on."""

FAILED, USAGE, QUEUE, TIMED_OUT, HUNG_UP, INTERRUPTED, READER_GONE, TERMINATED = 1, 2, 3, 4, 129, 130, 141, 143

MEANINGS = {
    0: "all done, perhaps with warnings",
    FAILED: "a job failed, or the command could not do its work or write what it found",
    USAGE: "usage: the options, the request or the settings are wrong",
    QUEUE: "the queue cannot be reached, or refuses us",
    TIMED_OUT: "timed out waiting; the jobs go on",
    HUNG_UP: "the terminal was closed; jobs in the queue go on",
    INTERRUPTED: "interrupted (Ctrl-C); jobs in the queue go on",
    READER_GONE: "the program that read the output has ended",  # as a shell reports a program that SIGPIPE ended
    TERMINATED: "terminated (SIGTERM); jobs in the queue go on",
}
