"""Exit codes of `asrq`, which scripts rely on."""

FAILED, USAGE, QUEUE, TIMED_OUT, INTERRUPTED, READER_GONE = 1, 2, 3, 4, 130, 141

MEANINGS = {
    0: "all done",
    FAILED: "a job failed, or the command could not do its work",
    USAGE: "usage: the options, the request or the settings are wrong",
    QUEUE: "the queue cannot be reached, or refuses us",
    TIMED_OUT: "timed out waiting; the jobs go on",
    INTERRUPTED: "interrupted (Ctrl-C); jobs in the queue go on",
    READER_GONE: "whoever read the output has gone",  # as a shell reports a program that SIGPIPE ended
}
