"""Parts that several tests share: clients, servers, fakes and programs."""
