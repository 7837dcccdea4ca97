//go:build !solo || solo_nats

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/multiprolab/multiprolab/benchmarks/itempb"
)

// NATS: a server embedded in main, TCP on the loopback interface, items and tasks as protobuf,
// blocks as they are.

const (
	natsAddress = "MULTIPROLAB_BENCH_NATS"  // environment variable: the server's URL
	natsIndex   = "MULTIPROLAB_BENCH_INDEX" // environment variable: the worker's number
	natsTimeout = 10 * time.Second
	// natsWindow is how many bytes a stream is ahead of the receiver. NATS has no flow control
	// between publisher and subscriber: it drops, or disconnects, a receiver that falls behind. So
	// the sender waits for the receiver's answer to a request once in a while.
	natsWindow = 8 << 20
)

// natsConnect connects without limits to what a subscriber may hold, which natsWindow limits.
func natsConnect(url string) (*nats.Conn, error) {
	return nats.Connect(url, nats.MaxReconnects(0), nats.NoReconnect())
}

func natsSubscribe(c *nats.Conn, subject, queue string, fn func(m *nats.Msg) error) error {
	s, err := c.QueueSubscribe(subject, queue, func(m *nats.Msg) {
		if err := fn(m); err != nil {
			fmt.Fprintf(os.Stderr, "NATS worker: %s: %v\n", m.Subject, err)
			os.Exit(1)
		}
	})
	if err != nil {
		return err
	}
	return s.SetPendingLimits(-1, -1)
}

// natsAnswer answers with a protobuf message.
func natsAnswer(m *nats.Msg, r proto.Message) error {
	b, err := proto.Marshal(r)
	if err != nil {
		return err
	}
	return m.Respond(b)
}

// natsWorker is the life of a worker process. Its subjects are bench.<index>.<what>, except the
// tasks, which the workers share.
func natsWorker() error {
	c, err := natsConnect(os.Getenv(natsAddress))
	if err != nil {
		return err
	}
	prefix := "bench." + os.Getenv(natsIndex) + "."
	var seen Tally // only the one subscription of the stream touches it
	err = errors.Join(
		natsSubscribe(c, prefix+"item", "", func(m *nats.Msg) error {
			var p itempb.Item
			if err := proto.Unmarshal(m.Data, &p); err != nil {
				return err
			}
			i := itemOf(&p)
			return natsAnswer(m, i.proto())
		}),
		natsSubscribe(c, prefix+"bytes", "", func(m *nats.Msg) error { return m.Respond(m.Data) }),
		natsSubscribe(c, prefix+"stream.*", "", func(m *nats.Msg) error {
			switch m.Subject[len(prefix):] {
			case "stream.item":
				var p itempb.Item
				if err := proto.Unmarshal(m.Data, &p); err != nil {
					return err
				}
				i := itemOf(&p)
				seen.item(&i)
				return nil
			case "stream.bytes":
				seen.bytes(m.Data)
				return nil
			case "stream.window":
				return m.Respond(nil)
			}
			r := &itempb.Count{Messages: seen.Messages, Sum: seen.Sum}
			seen = Tally{}
			return natsAnswer(m, r)
		}),
		natsSubscribe(c, prefix+"relay", "", func(m *nats.Msg) error {
			times, err := timeItems(
				int(binary.LittleEndian.Uint64(m.Data)),
				func(i Item) (Item, error) { return natsItem(c, "bench.1.item", i) },
			)
			if err != nil {
				return err
			}
			var b []byte
			for _, t := range times {
				b = binary.LittleEndian.AppendUint64(b, uint64(t))
			}
			return m.Respond(b)
		}),
		natsSubscribe(c, "bench.spin", "workers", func(m *nats.Msg) error {
			var t itempb.Task
			if err := proto.Unmarshal(m.Data, &t); err != nil {
				return err
			}
			return natsAnswer(m, &itempb.Result{Value: Task{t.GetSeed(), t.GetSteps()}.spin()})
		}),
		c.Flush(),
	)
	if err != nil {
		return err
	}
	// a request to a subject without a subscriber would fail
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	c.Close()
	return err
}

// natsItem asks a subject.
func natsItem(c *nats.Conn, subject string, i Item) (Item, error) {
	b, err := proto.Marshal(i.proto())
	if err != nil {
		return Item{}, err
	}
	m, err := c.Request(subject, b, natsTimeout)
	if err != nil {
		return Item{}, err
	}
	var p itempb.Item
	err = proto.Unmarshal(m.Data, &p)
	return itemOf(&p), err
}

// natsPeer lives in main.
type natsPeer struct {
	server   *server.Server
	conn     *nats.Conn
	children []*child
}

func (p *natsPeer) name() string { return "NATS on loopback" }

func (p *natsPeer) start(workers int) (err error) {
	p.server, err = server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		MaxPayload: 4 << 20, MaxPending: 4 * natsWindow,
	})
	if err != nil {
		return err
	}
	p.server.Start()
	if !p.server.ReadyForConnections(natsTimeout) {
		return errors.Join(errors.New("the NATS server does not start"), p.stop())
	}
	url := p.server.ClientURL()
	if p.conn, err = natsConnect(url); err != nil {
		return errors.Join(err, p.stop())
	}
	for n := range workers {
		c, err := startChild("nats", natsAddress+"="+url, fmt.Sprintf("%s=%d", natsIndex, n))
		if err != nil {
			return errors.Join(err, p.stop())
		}
		p.children = append(p.children, c)
	}
	for _, c := range p.children {
		if _, err := io.ReadFull(c.out, make([]byte, len("ready\n"))); err != nil {
			return errors.Join(err, p.stop())
		}
	}
	return nil
}

func (p *natsPeer) stop() error {
	err := stopAll(p.children)
	p.children = nil
	if p.conn != nil {
		p.conn.Close()
	}
	p.server.Shutdown()
	p.server.WaitForShutdown()
	return err
}

func (p *natsPeer) pid() int { return p.children[0].cmd.Process.Pid }

func (p *natsPeer) callItem(i Item) (Item, error) { return natsItem(p.conn, "bench.0.item", i) }

func (p *natsPeer) callBytes(b []byte) ([]byte, error) {
	m, err := p.conn.Request("bench.0.bytes", b, natsTimeout)
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

// stream publishes n messages of about size bytes, and waits when the receiver is natsWindow
// behind.
func (p *natsPeer) stream(n, size int, subject string, data func(k int) ([]byte, error)) (Tally, error) {
	var (
		half     = max(1, natsWindow/2/size) // messages
		answered = make(chan error, 1)
		waiting  bool
	)
	for k := range n {
		b, err := data(k)
		if err != nil {
			return Tally{}, err
		}
		if err := p.conn.Publish(subject, b); err != nil {
			return Tally{}, err
		}
		if k%half != half-1 {
			continue
		}
		if waiting { // for the half before this one
			if err := <-answered; err != nil {
				return Tally{}, err
			}
		}
		waiting = true
		go func() { // ends with the answer, or with natsTimeout
			_, err := p.conn.Request("bench.0.stream.window", nil, natsTimeout)
			answered <- err
		}()
	}
	if waiting {
		if err := <-answered; err != nil {
			return Tally{}, err
		}
	}
	m, err := p.conn.Request("bench.0.stream.end", nil, natsTimeout)
	if err != nil {
		return Tally{}, err
	}
	var c itempb.Count
	err = proto.Unmarshal(m.Data, &c)
	return Tally{c.GetMessages(), c.GetSum()}, err
}

func (p *natsPeer) streamItems(n int) (Tally, error) {
	return p.stream(n, 100, "bench.0.stream.item", func(k int) ([]byte, error) {
		i := sampleItem(uint64(k))
		return proto.Marshal(i.proto())
	})
}

func (p *natsPeer) streamBytes(n int, b []byte) (Tally, error) {
	return p.stream(n, len(b), "bench.0.stream.bytes", func(k int) ([]byte, error) { number(b, k); return b, nil })
}

func (p *natsPeer) relay(n int) ([]int64, error) {
	m, err := p.conn.Request("bench.0.relay", binary.LittleEndian.AppendUint64(nil, uint64(n)), time.Minute)
	if err != nil {
		return nil, err
	}
	var times []int64
	for b := m.Data; len(b) >= 8; b = b[8:] {
		times = append(times, int64(binary.LittleEndian.Uint64(b)))
	}
	return times, nil
}

func (p *natsPeer) farm(j job) (uint64, error) {
	return farmInPairs(len(p.children), farmInFlight, j, func(_ int, t Task) (uint64, error) {
		b, err := proto.Marshal(&itempb.Task{Seed: t.Seed, Steps: t.Steps})
		if err != nil {
			return 0, err
		}
		m, err := p.conn.Request("bench.spin", b, natsTimeout)
		if err != nil {
			return 0, err
		}
		var r itempb.Result
		err = proto.Unmarshal(m.Data, &r)
		return r.GetValue(), err
	})
}

var _ = role("nats", natsWorker)
