package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/dashboard"
	"github.com/multiprolab/multiprolab/profiles"
)

// serveDashboard shows what goes on to browsers, until the server is closed. An address without a
// host is one of this machine alone. Who reaches it from elsewhere may only look at the page; here
// there also are the profiles of each process, under /debug/pprof/, and the record of main, at
// /record.
func serveDashboard(app *multiprolab.Main, address string) (*http.Server, error) {
	if strings.HasPrefix(address, ":") {
		address = "127.0.0.1" + address
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	config, mux := &dashboard.Config{}, http.NewServeMux()
	if l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		config.Allow = dashboard.AllowAll
		mux.Handle("/debug/pprof/", profiles.Handler(app, nil))
		mux.HandleFunc("/record", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_ = app.WriteRecord(w) // an error is that of the connection, which is gone
		})
	}
	mux.Handle("/", dashboard.Handler(app, config))
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(l) }() // ends when the server is closed, which is its only error
	fmt.Printf("dashboard: http://%s/\n", l.Addr())
	return server, nil
}
