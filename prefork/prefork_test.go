package prefork_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/multiprolab/multiprolab/prefork"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// duplicate returns another listener of the same socket, as a worker has one.
func duplicate(t *testing.T, l net.Listener) net.Listener {
	t.Helper()
	file, err := l.(*net.TCPListener).File()
	require.NoError(t, err)
	defer file.Close()
	other, err := net.FileListener(file)
	require.NoError(t, err)
	return other
}

// Servers at one socket come and go, and requests that nobody may send twice, over new connections
// and over ones that are kept, are all answered.
func TestServersComeAndGo(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer socket.Close()
	url := "http://" + socket.Addr().String()
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "got %s", b)
	})
	over := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 6 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		clients.Go(func() { // ends with over
			defer client.CloseIdleConnections()
			for {
				select {
				case <-over:
					return
				default:
				}
				r, err := client.Post(url, "text/plain", strings.NewReader("a body"))
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(r.Body)
				_ = r.Body.Close()
				if err != nil || string(b) != "got a body" {
					t.Errorf("%q %v", b, err)
					return
				}
			}
		})
	}
	for range 20 {
		ctx, end := context.WithCancel(t.Context())
		l := duplicate(t, socket)
		served := make(chan error, 1)
		go func() { served <- prefork.ServeUntil(ctx, &http.Server{Handler: handler}, l, nil) }()
		r, err := http.Post(url, "text/plain", strings.NewReader("mine")) // so it serves
		require.NoError(t, err)
		_ = r.Body.Close()
		end()
		require.NoError(t, <-served)
	}
	// The last server stays until the clients have stopped.
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	l := duplicate(t, socket)
	go func() { served <- prefork.ServeUntil(ctx, &http.Server{Handler: handler}, l, nil) }()
	close(over)
	clients.Wait()
	http.DefaultClient.CloseIdleConnections()
	end()
	require.NoError(t, <-served)
}

// A connection without a request is kept for the time Linger and no longer, one with a request
// until it is answered.
func TestLinger(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	arrived, answer := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-answer
		fmt.Fprint(rw, "answered")
	})
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		server := &http.Server{Handler: handler}
		served <- prefork.ServeUntil(ctx, server, l, &prefork.Config{Linger: -1})
	}()
	idle, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer idle.Close()
	answered := make(chan string, 1)
	go func() { // ends with the answer
		r, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			answered <- err.Error()
			return
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		answered <- string(b)
	}()
	<-arrived
	end()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, 20*time.Second, time.Millisecond, "nothing is accepted any more")
	close(answer)
	require.Equal(t, "answered", <-answered)
	require.NoError(t, <-served)
	http.DefaultClient.CloseIdleConnections()
	n, err := idle.Read(make([]byte, 1))
	require.Zero(t, n)
	require.Error(t, err)
}

// A server that fails by itself says so.
func TestServerFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.ErrorIs(t, prefork.ServeUntil(t.Context(), new(http.Server), l, nil), net.ErrClosed)
}

// What holds for HTTP/1.1 holds for HTTPS with HTTP/2: requests over connections that are kept are
// all answered while servers come and go.
func TestServersOfHTTP2ComeAndGo(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer socket.Close()
	made := httptest.NewUnstartedServer(nil) // for its certificate
	made.EnableHTTP2 = true
	made.StartTLS()
	defer made.Close()
	config, transport := made.TLS, made.Client().Transport.(*http.Transport)
	url := "https://" + socket.Addr().String()
	protocols := make(chan int, 1)
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		select {
		case protocols <- r.ProtoMajor:
		default:
		}
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "got %s", b)
	})
	serve := func() (end func()) {
		ctx, cancel := context.WithCancel(t.Context())
		l := duplicate(t, socket)
		served := make(chan error, 1)
		go func() { // ends with ctx
			served <- prefork.ServeUntil(ctx, &http.Server{Handler: handler, TLSConfig: config.Clone()}, l, nil)
		}()
		return func() {
			cancel()
			require.NoError(t, <-served)
		}
	}
	over := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		client := &http.Client{Transport: transport.Clone()}
		clients.Go(func() { // ends with over
			defer client.CloseIdleConnections()
			for {
				select {
				case <-over:
					return
				default:
				}
				r, err := client.Post(url, "text/plain", strings.NewReader("a body"))
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(r.Body)
				_ = r.Body.Close()
				if err != nil || string(b) != "got a body" {
					t.Errorf("%q %v", b, err)
					return
				}
			}
		})
	}
	end := serve()
	for range 10 {
		require.Equal(t, 2, <-protocols)
		next := serve()
		end()
		end = next
	}
	close(over)
	clients.Wait()
	end()
}

// A request that has come is answered, although the server has not got round to read it when its
// end comes: by this server if it has accepted the connection, otherwise by the next one.
func TestRequestsThatHaveComeAreAnswered(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer socket.Close()
	first := make(chan struct{}, 1000)
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { first <- struct{}{} })
	serve := func() (end func()) {
		ctx, cancel := context.WithCancel(t.Context())
		l := duplicate(t, socket)
		served := make(chan error, 1)
		go func() { // ends with ctx
			served <- prefork.ServeUntil(ctx, &http.Server{Handler: handler}, l, &prefork.Config{Linger: -1})
		}()
		return func() {
			cancel()
			require.NoError(t, <-served)
		}
	}
	for range 5 {
		conns := make([]net.Conn, 100)
		for i := range conns {
			conns[i], err = net.Dial("tcp", socket.Addr().String())
			require.NoError(t, err)
			defer conns[i].Close()
			_, err = io.WriteString(conns[i], "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			require.NoError(t, err)
		}
		end := serve()
		<-first
		end()
		end = serve()
		for i, c := range conns {
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err, "connection %d", i)
			require.Equal(t, http.StatusOK, r.StatusCode)
			_ = r.Body.Close() // it is empty
		}
		end()
		for len(first) > 0 {
			<-first
		}
	}
}
