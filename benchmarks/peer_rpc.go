//go:build !solo || solo_rpc || solo_plugin

package main

import (
	"errors"
	"io"
	"net/rpc"
	"os"
	"sync"
	"time"
)

// net/rpc of the standard library, over the pipes of child processes, with its gob codec.

// stdio is the connection of a worker.
type stdio struct{}

func (stdio) Read(b []byte) (int, error)  { return os.Stdin.Read(b) }
func (stdio) Write(b []byte) (int, error) { return os.Stdout.Write(b) }
func (stdio) Close() error                { return errors.Join(os.Stdin.Close(), os.Stdout.Close()) }

// childConn is main's end of it.
type childConn struct{ *child }

func (c childConn) Read(b []byte) (int, error)  { return c.out.Read(b) }
func (c childConn) Write(b []byte) (int, error) { return c.in.Write(b) }
func (c childConn) Close() error                { return c.in.Close() }

// Service is what a worker offers. net/rpc calls its methods at the same time, so it locks.
type Service struct {
	mu   sync.Mutex // guards seen
	seen Tally
}

// None stands for no argument or no result.
type None struct{}

// Question is a number, and the index of the worker that is asked.
type Question struct{ Q, Index uint64 }

func (s *Service) Item(in Item, out *Item) error      { *out = in; return nil }
func (s *Service) Bytes(in []byte, out *[]byte) error { *out = in; return nil }
func (s *Service) Spin(in Task, out *uint64) error    { *out = in.spin(); return nil }
func (s *Service) Ask(in Question, out *uint64) error { *out = in.Q + in.Index; return nil }
func (s *Service) Pid(_ None, out *int) error         { *out = os.Getpid(); return nil }
func (s *Service) OneItem(in Item, _ *None) error {
	s.mu.Lock()
	s.seen.item(&in)
	s.mu.Unlock()
	return nil
}
func (s *Service) OneBytes(in []byte, _ *None) error {
	s.mu.Lock()
	s.seen.bytes(in)
	s.mu.Unlock()
	return nil
}
func (s *Service) Mark(_ None, out *Tally) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	*out, s.seen = s.seen, Tally{}
	return nil
}

func newServer(name string, service any) *rpc.Server {
	s := rpc.NewServer()
	if err := s.RegisterName(name, service); err != nil {
		panic(err)
	}
	return s
}

// rpcWorker is the life of a worker process: a server until its connection ends.
func rpcWorker() error {
	newServer("Worker", new(Service)).ServeConn(stdio{})
	return nil
}

// rpcClients are the main sides of some connections; the peers of net/rpc and of go-plugin over
// net/rpc have them.
type rpcClients struct {
	service string // under which the workers have registered theirs
	clients []*rpc.Client
}

func (c rpcClients) callItem(i Item) (r Item, err error) {
	err = c.clients[0].Call(c.service+".Item", i, &r)
	return r, err
}

func (c rpcClients) callBytes(b []byte) (r []byte, err error) {
	err = c.clients[0].Call(c.service+".Bytes", b, &r)
	return r, err
}

// stream makes n calls, so many at a time.
func (c rpcClients) stream(n, window int, method string, arg func(k int) any) (Tally, error) {
	done := make(chan *rpc.Call, window)
	for k := range n {
		if k >= window {
			if call := <-done; call.Error != nil {
				return Tally{}, call.Error
			}
		}
		c.clients[0].Go(c.service+method, arg(k), new(None), done)
	}
	for range min(n, window) {
		if call := <-done; call.Error != nil {
			return Tally{}, call.Error
		}
	}
	var t Tally
	err := c.clients[0].Call(c.service+".Mark", None{}, &t)
	return t, err
}

func (c rpcClients) streamItems(n int) (Tally, error) {
	return c.stream(n, streamInFlight, ".OneItem", func(k int) any { return sampleItem(uint64(k)) })
}

func (c rpcClients) streamBytes(n int, b []byte) (Tally, error) {
	// Client.Go has encoded its argument when it returns.
	return c.stream(
		n,
		min(streamInFlight, bytesInFlight/len(b)),
		".OneBytes",
		func(k int) any { number(b, k); return b },
	)
}

// farm keeps so many calls with each worker.
func (c rpcClients) farm(j job) (uint64, error) {
	return farmInPairs(len(c.clients), farmInFlight, j, func(worker int, t Task) (r uint64, err error) {
		err = c.clients[worker].Call(c.service+".Spin", t, &r)
		return r, err
	})
}

func (c rpcClients) ask(q uint64) (uint64, error) {
	calls := make([]*rpc.Call, len(c.clients))
	for n, client := range c.clients {
		calls[n] = client.Go(c.service+".Ask", Question{q, uint64(n)}, new(uint64), nil)
	}
	var sum uint64
	for _, call := range calls {
		if <-call.Done; call.Error != nil {
			return 0, call.Error
		}
		sum += *call.Reply.(*uint64)
	}
	return sum, nil
}

// rpcPeer lives in main.
type rpcPeer struct {
	rpcClients
	children []*child
}

func (p *rpcPeer) name() string { return "net/rpc over pipes" }

func (p *rpcPeer) start(workers int) error {
	p.service = "Worker"
	for range workers {
		c, err := startChild("rpc")
		if err != nil {
			return errors.Join(err, p.stop())
		}
		p.children = append(p.children, c)
		p.clients = append(p.clients, rpc.NewClient(childConn{c}))
	}
	return nil
}

func (p *rpcPeer) stop() error {
	for _, c := range p.clients {
		_ = c.Close()
	}
	err := stopAll(p.children)
	p.children, p.clients = nil, nil
	return err
}

func (p *rpcPeer) pid() int { return p.children[0].cmd.Process.Pid }

// rpcRelayPeer is the relay. Connections of net/rpc have a client and a server, so that the worker
// that asks is the client of main, and the worker that is asked is main's server.
type rpcRelayPeer struct {
	hub    *Hub
	served chan struct{}
	asking *child
	asked  rpcPeer
}

// Hub is what main offers to the worker that asks.
type Hub struct {
	jobs   chan int
	times  chan []int64
	second *rpc.Client
}

// Next waits for the next number of requests, 0 at the end.
func (h *Hub) Next(_ None, n *int) error { *n = <-h.jobs; return nil }

// Forward passes an item on and its answer back. net/rpc decodes and encodes it on the way.
func (h *Hub) Forward(in Item, out *Item) error { return h.second.Call("Worker.Item", in, out) }

// Done takes the nanoseconds of the requests.
func (h *Hub) Done(times []int64, _ *None) error { h.times <- times; return nil }

// rpcRelayWorker is the life of the worker that asks.
func rpcRelayWorker() error {
	hub := rpc.NewClient(stdio{})
	for {
		var n int
		err := hub.Call("Hub.Next", None{}, &n)
		if n == 0 || err == io.ErrUnexpectedEOF || err == rpc.ErrShutdown {
			return nil
		}
		if err != nil {
			return err
		}
		times, err := timeItems(n, func(i Item) (r Item, err error) {
			err = hub.Call("Hub.Forward", i, &r)
			return r, err
		})
		if err != nil {
			return err
		}
		if err := hub.Call("Hub.Done", times, &None{}); err != nil {
			return err
		}
	}
}

func (p *rpcRelayPeer) name() string { return p.asked.name() }

func (p *rpcRelayPeer) start(int) (err error) {
	if err = p.asked.start(1); err != nil {
		return err
	}
	if p.asking, err = startChild("rpc-client"); err != nil {
		return errors.Join(err, p.asked.stop())
	}
	p.hub = &Hub{jobs: make(chan int), times: make(chan []int64, 1), second: p.asked.clients[0]}
	p.served = make(chan struct{})
	go func() { // ends with the connection
		newServer("Hub", p.hub).ServeConn(childConn{p.asking})
		close(p.served)
	}()
	return nil
}

func (p *rpcRelayPeer) relay(n int) ([]int64, error) {
	select {
	case p.hub.jobs <- n:
	case <-p.served:
		return nil, io.ErrUnexpectedEOF
	case <-time.After(10 * time.Second):
		return nil, errors.New("the worker does not ask for a job")
	}
	select {
	case t := <-p.hub.times:
		return t, nil
	case <-p.served:
		return nil, io.ErrUnexpectedEOF
	}
}

func (p *rpcRelayPeer) stop() error {
	close(p.hub.jobs) // Next returns 0
	<-p.served
	return errors.Join(stopAll([]*child{p.asking}), p.asked.stop())
}

var (
	_ = role("rpc", rpcWorker)
	_ = role("rpc-client", rpcRelayWorker)
)
