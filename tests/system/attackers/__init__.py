# tests/system/attackers/__init__.py: what tenants run against each other. Holds nothing itself.
