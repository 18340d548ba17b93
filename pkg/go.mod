module github.com/wxbroker/wxbroker/pkg

go 1.26.0

require github.com/alecthomas/kong v1.17.0

replace github.com/wxbroker/wxbroker/proto => ../proto
