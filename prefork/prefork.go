// Package prefork serves HTTP from many processes behind one address: main holds the listener, and
// each worker accepts at it. A worker that crashes takes its own requests with it and no others;
// the workers can be replaced while clients see nothing of it.
//
//	app := multiprolab.New(nil)
//	app.RegisterWorker("web", func(ctx context.Context, w *multiprolab.Worker) error {
//		return prefork.Serve(w, "web", &http.Server{Handler: mux}, nil)
//	}, &multiprolab.WorkerConfig{Count: 4, Listeners: []string{"web"}})
//	if err := sockets.Listen(app, "web", "tcp", ":8080"); err != nil {
//		log.Fatal(err)
//	}
//	if err := app.Run(context.Background()); err != nil {
//		log.Fatal(err)
//	}
//
// What http.Server.Shutdown does alone is not enough for that: it drops requests that it reads
// after it has begun, so also those on connections that were just accepted, and it closes
// connections on which a request may be under way. Here a worker that is told to end accepts
// nothing any more, answers what has been accepted, with "Connection: close" so that clients go on
// with another worker, and only then shuts its server down.
package prefork

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/sockets"
)

// Config says how a server comes to its end. Its zero value, and nil, are good defaults.
type Config struct {
	// Linger is how long connections without a request are kept open when the worker is told to
	// end: a client that uses its connection within this time is answered, and told that the
	// connection ends; one that uses it at the very end of it may find the connection closed. A
	// worker whose clients have all closed their connections does not wait. It should be less than
	// multiprolab.Config.ShutdownTimeout. Defaults to 1 second; a negative value means none.
	Linger time.Duration
}

// Serve makes the worker serve HTTP at the listener that main has opened under the name
// ([sockets.Listen], [multiprolab.WorkerConfig].Listeners), until the worker is told to
// end. Call it in the setup function: it takes the listener, and registers the server as the
// worker's [multiprolab.Worker.Loop]; handlers of HTTP requests run beside messages and tasks. With
// server.TLSConfig it serves HTTPS. A server that fails ends its worker. Connections that a handler
// has hijacked are the handler's affair: see http.Server.RegisterOnShutdown.
func Serve(w *multiprolab.Worker, name string, server *http.Server, cfg *Config) error {
	l, err := sockets.Listener(w, name)
	if err != nil {
		return err
	}
	w.Loop(func(ctx context.Context) error { return ServeUntil(ctx, server, l, cfg) })
	return nil
}

// ServeUntil serves HTTP at a listener until ctx ends, in the way of Serve: then it closes the
// listener, answers what has been accepted, and returns nil. It returns the error of a server that
// fails before. The server cannot be used again.
func ServeUntil(ctx context.Context, server *http.Server, l net.Listener, cfg *Config) error {
	linger := time.Second
	if cfg != nil && cfg.Linger != 0 {
		linger = max(0, cfg.Linger)
	}
	d := newDrain(server)
	served := make(chan error, 1)
	go func() { // ends when the listener is closed, or fails; this function waits for it
		if server.TLSConfig != nil {
			served <- server.ServeTLS(l, "", "")
			return
		}
		served <- server.Serve(l)
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	d.begin()
	_ = l.Close() // the socket stays open in main; an error would come from Serve as well
	if err := <-served; !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	d.acceptedLast()
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-d.empty:
	case <-timer.C:
		d.closeAllIdle()
	}
	// The worker is given the time that Config.ShutdownTimeout says, so that no other limit is
	// needed.
	return server.Shutdown(context.WithoutCancel(ctx))
}

// drain knows which connections a server has, and ends them one after the other once the end has
// begun. It exists in the worker, and any goroutine may use it.
type drain struct {
	handler http.Handler                   // the user's; never changes
	state   func(net.Conn, http.ConnState) // the user's, or nil; never changes
	limit   time.Duration                  // the server's ReadTimeout; never changes
	empty   chan struct{}                  // closed when no connection is left and none will come

	mu      sync.Mutex                  // guards the fields below
	conns   map[net.Conn]http.ConnState // the connections that are open
	hurried map[net.Conn]bool           // those that the server is to close unless a request has come
	ended   bool                        // the end has begun: each response ends its connection
	last    bool                        // no further connection is accepted
}

// newDrain puts a drain into a server that has not begun to serve.
func newDrain(server *http.Server) *drain {
	d := &drain{
		handler: server.Handler,
		state:   server.ConnState,
		limit:   server.ReadTimeout,
		empty:   make(chan struct{}),
		conns:   map[net.Conn]http.ConnState{},
		hurried: map[net.Conn]bool{},
	}
	if d.handler == nil {
		d.handler = http.DefaultServeMux
	}
	server.Handler, server.ConnState = d, d.note
	return d
}

// ServeHTTP handles a request; once the end has begun, the response ends the connection.
func (d *drain) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	if d.ended {
		rw.Header().Set("Connection", "close")
	}
	d.mu.Unlock()
	d.handler.ServeHTTP(rw, r)
}

// note is http.Server.ConnState.
func (d *drain) note(c net.Conn, state http.ConnState) {
	d.mu.Lock()
	switch state {
	default:
		d.conns[c] = state
		if d.hurried[c] && state == http.StateActive { // its request had come
			delete(d.hurried, c)
			var limit time.Time
			if d.limit > 0 {
				limit = time.Now().Add(d.limit)
			}
			_ = c.SetReadDeadline(limit) // an error shows when it is read
		}
	case http.StateClosed, http.StateHijacked:
		delete(d.conns, c)
		delete(d.hurried, c)
		d.check()
	}
	d.mu.Unlock()
	if d.state != nil {
		d.state(c, state)
	}
}

// begin begins the end.
func (d *drain) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
}

// acceptedLast notes that no further connection is accepted.
func (d *drain) acceptedLast() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = true
	d.check()
}

// closeAllIdle closes the connections on which no request has come, and waits until the server has
// begun with those that have: after Shutdown it would drop them.
func (d *drain) closeAllIdle() {
	for d.closeIdle() > 0 {
		time.Sleep(time.Millisecond) // the server sees the ends of connections meanwhile, and begins with requests
	}
}

// closeIdle makes the server close the connections on which no request has come. The server alone
// would wait some seconds more for those that have never had one. It does not close them itself: on
// a busy machine the server may not have got round to what has come on them, or be in the middle of
// it. It returns how many connections have neither ended nor become active yet.
func (d *drain) closeIdle() (left int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c, state := range d.conns {
		switch {
		case state == http.StateActive:
		case state == http.StateIdle && isHTTP2(c): // there a request has a stream, and the connection is idle
			_ = c.Close() // the server sees the end of the connection
		default:
			left++
			if !unread(c) {
				d.hurried[c] = true
				_ = c.SetReadDeadline(time.Unix(1, 0)) // otherwise it has ended
			}
		}
	}
	return left
}

// isHTTP2 reports whether a connection that has had a request is one of HTTP/2.
func isHTTP2(c net.Conn) bool {
	secure, ok := c.(*tls.Conn)
	return ok && secure.ConnectionState().NegotiatedProtocol == "h2"
}

// unread reports whether bytes have come on a connection that the server has not read.
func unread(c net.Conn) (yes bool) {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	socket, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	conn, err := socket.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { yes = pending(fd) })
	}
	return yes && err == nil
}

// check closes empty if no connection is left and none will come. The caller holds mu.
func (d *drain) check() {
	if d.last && len(d.conns) == 0 {
		select {
		case <-d.empty:
		default:
			close(d.empty)
		}
	}
}
