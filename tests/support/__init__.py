"""What several tests stand on: a company in memory, an installation of real files, servers, a month, earlier versions."""
