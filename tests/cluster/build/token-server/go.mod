module longshore.dev/cluster/token-server

go 1.26.0
