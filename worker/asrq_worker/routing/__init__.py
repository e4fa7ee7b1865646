"""What a job needs and who offers it: which worker takes it, and which backend. Pure decisions."""
