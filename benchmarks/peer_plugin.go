//go:build !solo || solo_plugin

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/multiprolab/multiprolab/benchmarks/itempb"
)

// hashicorp/go-plugin over its two protocols: net/rpc on a multiplexed connection, and gRPC with
// generated protobuf messages. Both are Unix sockets (TCP on Windows), without TLS, which is the
// default.

var pluginHandshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "MULTIPROLAB_BENCH_PLUGIN",
	MagicCookieValue: "worker",
}

// rpcPlugin serves Service over net/rpc.
type rpcPlugin struct{}

func (rpcPlugin) Server(*plugin.MuxBroker) (any, error)                  { return new(Service), nil }
func (rpcPlugin) Client(_ *plugin.MuxBroker, c *rpc.Client) (any, error) { return c, nil }

// grpcPlugin serves the service of item.proto over gRPC.
type grpcPlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	itempb.RegisterWorkerServer(s, grpcService{})
	return nil
}

func (grpcPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return itempb.NewWorkerClient(c), nil
}

type grpcService struct {
	itempb.UnimplementedWorkerServer
}

func (grpcService) EchoItem(_ context.Context, i *itempb.Item) (*itempb.Item, error) {
	r := itemOf(i)
	return r.proto(), nil
}

func (grpcService) EchoBytes(_ context.Context, b *itempb.Blob) (*itempb.Blob, error) { return b, nil }

func (grpcService) Spin(_ context.Context, t *itempb.Task) (*itempb.Result, error) {
	return &itempb.Result{Value: Task{t.GetSeed(), t.GetSteps()}.spin()}, nil
}

func (grpcService) StreamItems(s grpc.ClientStreamingServer[itempb.Item, itempb.Count]) error {
	var seen Tally
	for {
		p, err := s.Recv()
		if err == io.EOF {
			return s.SendAndClose(&itempb.Count{Messages: seen.Messages, Sum: seen.Sum})
		}
		if err != nil {
			return err
		}
		i := itemOf(p)
		seen.item(&i)
	}
}

func (grpcService) StreamBytes(s grpc.ClientStreamingServer[itempb.Blob, itempb.Count]) error {
	var seen Tally
	for {
		p, err := s.Recv()
		if err == io.EOF {
			return s.SendAndClose(&itempb.Count{Messages: seen.Messages, Sum: seen.Sum})
		}
		if err != nil {
			return err
		}
		seen.bytes(p.GetData())
	}
}

// pluginWorker is the life of a worker process. go-plugin's workers outlive a main that is killed,
// so this one looks for itself.
func pluginWorker() error {
	main := os.Getppid()
	go func() { // ends with the process
		for os.Getppid() == main {
			time.Sleep(time.Second)
		}
		os.Exit(1)
	}()
	c := &plugin.ServeConfig{
		HandshakeConfig: pluginHandshake,
		Plugins:         plugin.PluginSet{"worker": rpcPlugin{}},
		Logger:          hclog.NewNullLogger(),
	}
	if os.Getenv("MULTIPROLAB_BENCH_PROTOCOL") == string(plugin.ProtocolGRPC) {
		c.Plugins = plugin.PluginSet{"worker": grpcPlugin{}}
		c.GRPCServer = plugin.DefaultGRPCServer
	}
	plugin.Serve(c)
	return nil
}

// startPlugins starts workers, all at the same time, and returns their clients.
func startPlugins(workers int, protocol plugin.Protocol, served plugin.Plugin) ([]*plugin.Client, []any, error) {
	clients, services, errs := make([]*plugin.Client, workers), make([]any, workers), make([]error, workers)
	var all sync.WaitGroup
	for n := range workers {
		cmd, err := roleCommand("plugin", "MULTIPROLAB_BENCH_PROTOCOL="+string(protocol))
		if err != nil {
			return nil, nil, err
		}
		cmd.Stderr = nil // go-plugin reads it
		clients[n] = plugin.NewClient(&plugin.ClientConfig{
			HandshakeConfig:  pluginHandshake,
			Plugins:          plugin.PluginSet{"worker": served},
			Cmd:              cmd,
			AllowedProtocols: []plugin.Protocol{protocol},
			Logger:           hclog.NewNullLogger(),
		})
		all.Go(func() {
			var c plugin.ClientProtocol
			if c, errs[n] = clients[n].Client(); errs[n] == nil {
				services[n], errs[n] = c.Dispense("worker")
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		stopPlugins(clients)
		return nil, nil, err
	}
	return clients, services, nil
}

func stopPlugins(clients []*plugin.Client) {
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(c.Kill)
	}
	all.Wait()
}

// pluginPid returns the process id of a plugin.
func pluginPid(c *plugin.Client) int {
	if r := c.ReattachConfig(); r != nil {
		return r.Pid
	}
	return 0
}

// rpcPluginPeer lives in main.
type rpcPluginPeer struct {
	rpcClients
	plugins []*plugin.Client
}

func (p *rpcPluginPeer) name() string { return "go-plugin, net/rpc" }

func (p *rpcPluginPeer) start(workers int) error {
	plugins, services, err := startPlugins(workers, plugin.ProtocolNetRPC, rpcPlugin{})
	if err != nil {
		return err
	}
	p.plugins = plugins
	p.rpcClients = rpcClients{service: "Plugin"}
	for _, s := range services {
		p.clients = append(p.clients, s.(*rpc.Client))
	}
	return nil
}

func (p *rpcPluginPeer) stop() error { stopPlugins(p.plugins); return nil }
func (p *rpcPluginPeer) pid() int    { return pluginPid(p.plugins[0]) }

// grpcPluginPeer lives in main.
type grpcPluginPeer struct {
	plugins []*plugin.Client
	workers []itempb.WorkerClient
}

func (p *grpcPluginPeer) name() string { return "go-plugin, gRPC" }

func (p *grpcPluginPeer) start(workers int) error {
	plugins, services, err := startPlugins(workers, plugin.ProtocolGRPC, grpcPlugin{})
	if err != nil {
		return err
	}
	p.plugins, p.workers = plugins, nil
	for _, s := range services {
		p.workers = append(p.workers, s.(itempb.WorkerClient))
	}
	return nil
}

func (p *grpcPluginPeer) stop() error { stopPlugins(p.plugins); return nil }
func (p *grpcPluginPeer) pid() int    { return pluginPid(p.plugins[0]) }

func (p *grpcPluginPeer) callItem(i Item) (Item, error) {
	r, err := p.workers[0].EchoItem(context.Background(), i.proto())
	return itemOf(r), err
}

func (p *grpcPluginPeer) callBytes(b []byte) ([]byte, error) {
	r, err := p.workers[0].EchoBytes(context.Background(), &itempb.Blob{Data: b})
	return r.GetData(), err
}

func (p *grpcPluginPeer) streamItems(n int) (Tally, error) {
	s, err := p.workers[0].StreamItems(context.Background())
	if err != nil {
		return Tally{}, err
	}
	for k := range n {
		i := sampleItem(uint64(k))
		if err := s.Send(i.proto()); err != nil {
			return Tally{}, err
		}
	}
	c, err := s.CloseAndRecv()
	return Tally{c.GetMessages(), c.GetSum()}, err
}

func (p *grpcPluginPeer) streamBytes(n int, b []byte) (Tally, error) {
	s, err := p.workers[0].StreamBytes(context.Background())
	if err != nil {
		return Tally{}, err
	}
	for k := range n {
		number(b, k)
		if err := s.Send(&itempb.Blob{Data: b}); err != nil {
			return Tally{}, err
		}
	}
	c, err := s.CloseAndRecv()
	return Tally{c.GetMessages(), c.GetSum()}, err
}

func (p *grpcPluginPeer) farm(j job) (uint64, error) {
	return farmInPairs(len(p.workers), farmInFlight, j, func(worker int, t Task) (uint64, error) {
		r, err := p.workers[worker].Spin(context.Background(), &itempb.Task{Seed: t.Seed, Steps: t.Steps})
		return r.GetValue(), err
	})
}

func (p *grpcPluginPeer) ask(q uint64) (uint64, error) {
	answers, errs := make([]uint64, len(p.workers)), make([]error, len(p.workers))
	var all sync.WaitGroup
	for n, w := range p.workers {
		all.Go(func() {
			// A task of no steps comes back as its seed.
			r, err := w.Spin(context.Background(), &itempb.Task{Seed: q + uint64(n)})
			if answers[n], errs[n] = r.GetValue(), err; err != nil {
				errs[n] = fmt.Errorf("worker %d: %w", n, err)
			}
		})
	}
	all.Wait()
	var sum uint64
	for _, a := range answers {
		sum += a
	}
	return sum, errors.Join(errs...)
}

var _ = role("plugin", pluginWorker)
