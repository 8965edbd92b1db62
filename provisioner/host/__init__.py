"""One host: the programs that run on it, and what their answers mean.

The remote side is POSIX sh in the `.sh` files here; `program` puts a program together
and quotes, `frames` takes the answer apart, `probe` and `transaction` are the two
conversations built from them.
"""
