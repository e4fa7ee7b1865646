-- Compare part of an upload without sending it: the length and the digests tell a client whether it is all there.
--
-- KEYS[1]  asrq:blob:<sha256>  string  read only
-- ARGV[1]  first  of the part's bytes, from 0
-- ARGV[2]  last   likewise; ask for a MiB at most: Redis serves nobody else meanwhile
--
-- Returns the part's SHA-1 in hexadecimal.

return redis.sha1hex(redis.call('GETRANGE', KEYS[1], ARGV[1], ARGV[2]))
