"""The relay: a program that delays, drops, reorders and duplicates what interfaces send.

It stands in for netem(8) on kernels without it. It runs on a host, as root, with the standard
library of Python 3.8 or newer only, and imports nothing else of this project. One process serves
all interfaces of a run there, in any network namespaces.

The payload of a packet never leaves the kernel. A detour leads what an interface sends through a
bridge in a network namespace of the relay (``detour``), where a rule hands it to a queue of
nfnetlink_queue. The kernel sends the number of each packet and its time of arrival, and the relay
answers with verdicts once packets are due (``end``, ``loop``). Checksum offload, segments of any
size, MTU and fragments therefore need no care. The sender does not own a packet that is held, so
that TCP and sockets of UDP are not throttled by it.

All of this ends with the process, in whatever way it ends: the namespace has no other user, and the
rules belong to sockets of the relay. Traffic then passes as if there had been no relay, except that
packets that are held at that moment are lost.
"""
