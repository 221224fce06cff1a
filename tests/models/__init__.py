"""Much-used checkpoints by name: how each is served, or why not, as a run found it.

named       checkpoint → structure of tests/checkpoints.py
refused     the replicas of those that are not served
staged      an exported model, run as its steps run it
comparison  a replica exported and compared with plain sentence-transformers
service     some of them through Triton and the gateway
page        docs/models.md
"""
