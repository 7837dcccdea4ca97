package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/dashboard"
)

// serveDashboard shows what goes on to browsers, until the server is closed. An address without a
// host is one of this machine alone. Who reaches it from elsewhere may only look.
func serveDashboard(app *multiprolab.Main, address string) (*http.Server, error) {
	if strings.HasPrefix(address, ":") {
		address = "127.0.0.1" + address
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	config := &dashboard.Config{}
	if l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		config.Allow = dashboard.AllowAll
	}
	server := &http.Server{Handler: dashboard.Handler(app, config)}
	go func() { _ = server.Serve(l) }() // ends when the server is closed, which is its only error
	fmt.Fprintf(os.Stderr, "dashboard: http://%s/\n", l.Addr())
	return server, nil
}
