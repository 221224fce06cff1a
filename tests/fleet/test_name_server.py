"""The name server of `make fleet`, asked as resolvers ask."""

from dnslib import QTYPE, RCODE, DNSRecord

from tests.fleet.name_server import NameServer

NAME = "triton-headless.prod.svc.cluster.local"


def ask(server: NameServer, name: str, kind: str = "A") -> tuple[int, list[str]]:
    """Code and addresses of an answer."""
    reply = DNSRecord.parse(server.answer(bytes(DNSRecord.question(name, kind).pack())))
    assert all(one.rtype == QTYPE.A for one in reply.rr)
    return reply.header.rcode, [str(one.rdata) for one in reply.rr]


def test_a_name_has_the_address_of_every_endpoint() -> None:
    server = NameServer(lambda: {NAME: ["10.42.0.2", "10.42.0.3"]}, cache_seconds=0)
    assert ask(server, NAME) == (RCODE.NOERROR, ["10.42.0.2", "10.42.0.3"])
    assert ask(server, NAME, "AAAA") == (RCODE.NOERROR, [])


def test_a_name_without_endpoints_does_not_exist() -> None:
    server = NameServer(lambda: {NAME: []}, cache_seconds=0)
    assert ask(server, NAME) == (RCODE.NXDOMAIN, [])
    assert ask(server, "other.prod.svc.cluster.local") == (RCODE.NXDOMAIN, [])


def test_a_cache_is_late() -> None:
    names = {NAME: ["10.42.0.2"]}
    late, prompt = NameServer(lambda: names, 3600), NameServer(lambda: names, 0)
    assert ask(late, NAME) == ask(prompt, NAME)
    names[NAME] = ["10.42.0.3"]
    assert ask(late, NAME)[1] == ["10.42.0.2"]
    assert ask(prompt, NAME)[1] == ["10.42.0.3"]
