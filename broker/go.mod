module github.com/wxbroker/wxbroker/broker

go 1.26.0

require (
	github.com/wxbroker/wxbroker/pkg v0.0.0
	github.com/wxbroker/wxbroker/proto v0.0.0
	go.etcd.io/bbolt v1.5.0
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/stretchr/testify v1.12.1 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
)

replace github.com/wxbroker/wxbroker/proto => ../proto

replace github.com/wxbroker/wxbroker/pkg => ../pkg
