//go:build !solo

package main

import (
	"fmt"
	"time"
)

const (
	kib4 = 4 << 10
	mib  = 1 << 20
)

// The peers, made anew for each scenario.

func bare() *barePeer        { return &barePeer{title: "bare pipe"} }
func bareBatched() *barePeer { return &barePeer{title: "bare pipe, batched", batched: true} }
func bareBig() *barePeer     { return &barePeer{title: "bare pipe of 1 MiB", pipeSize: mib} }
func bareGob() *gobPeer      { return &gobPeer{title: "bare pipe, gob"} }
func bareGobBatched() *gobPeer {
	return &gobPeer{title: "bare pipe, gob, batched", batched: true}
}
func lab() *labPeer { return &labPeer{title: "multiprolab"} }

// scenarios returns all scenarios; small ones with few workers if quick.
func scenarios(quick bool) []scenario {
	all := []scenario{
		callScenario("call-100B", "Request and reply, a struct of 100 bytes", 0),
		callScenario("call-4KiB", "Request and reply, 4 KiB of bytes", kib4),
		callScenario("call-1MiB", "Request and reply, 1 MiB of bytes", mib),
		streamScenario("stream-100B", "One-way stream, a struct of 100 bytes", 0),
		streamScenario("stream-4KiB", "One-way stream, 4 KiB of bytes", kib4),
		streamScenario("stream-1MiB", "One-way stream, 1 MiB of bytes", mib),
		{
			id: "relay-100B", title: "Worker to worker through main, request and reply of a struct of 100 bytes",
			metrics: callMetrics,
			contenders: []contender{
				&hops{relayer: bare()},
				&hops{relayer: lab()},
				&hops{relayer: new(rpcRelayPeer)},
				&hops{relayer: new(natsPeer)},
				&scriptHops{script: python("Python Pipe", "relay")},
				&scriptHops{script: node("Node fork, advanced", "advanced")},
				&scriptHops{script: node("Node fork, json", "json")},
			},
		},
		farmScenario("farm-1us", "Task farm, tasks of 1 µs, two workers", time.Microsecond),
		farmScenario("farm-100us", "Task farm, tasks of 100 µs, two workers", 100*time.Microsecond),
		startScenario(),
	}
	crowds := []int{100, 500}
	if quick {
		crowds = []int{4, 12}
	}
	for _, n := range crowds {
		all = append(all, crowdScenario(n, n <= 100))
	}
	return all
}

var callMetrics = []metric{
	{name: "p50", unit: "µs", chart: true},
	{name: "p99", unit: "µs"},
}

func callScenario(id, title string, size int) scenario {
	s := scenario{id: id, title: title, metrics: callMetrics}
	callers := []caller{bare()}
	if size == 0 {
		callers = append(callers, bareGob())
	}
	if size >= mib {
		callers = append(callers, bareBig())
	}
	callers = append(callers, lab(), new(rpcPeer), new(rpcPluginPeer), new(grpcPluginPeer), new(natsPeer))
	for _, c := range callers {
		s.contenders = append(s.contenders, &call{caller: c, size: size})
	}
	kind := "item"
	if size > 0 {
		kind = "block"
	}
	s.contenders = append(s.contenders,
		&scriptCall{script: python("Python Pipe", kind), size: size},
		&scriptCall{script: python("Python Pool.apply", "pool"), size: size},
		&scriptCall{script: python("Python ProcessPoolExecutor", "executor"), size: size},
		&scriptCall{script: node("Node fork, advanced", "advanced"), size: size},
	)
	if size == 0 { // a Buffer in JSON is an array of numbers, which nobody sends
		s.contenders = append(s.contenders, &scriptCall{script: node("Node fork, json", "json"), size: size})
	}
	return s
}

func streamScenario(id, title string, size int) scenario {
	s := scenario{
		id:      id,
		title:   title,
		metrics: []metric{{name: "rate", unit: "million messages/s", more: true, chart: true}},
	}
	kind := "items"
	streamers := []streamer{bare(), bareBatched()}
	if size == 0 {
		streamers = append(streamers, bareGob(), bareGobBatched())
	} else {
		kind = "blocks"
		s.metrics[0].unit = "GB/s"
		streamers = append(streamers, bareBig())
	}
	streamers = append(streamers, lab(), new(rpcPeer), new(rpcPluginPeer), new(grpcPluginPeer), new(natsPeer))
	for _, c := range streamers {
		s.contenders = append(s.contenders, &stream{streamer: c, size: size})
	}
	s.contenders = append(s.contenders,
		&scriptStream{script: python("Python Pipe", kind), size: size},
		&scriptStream{script: node("Node fork, advanced", "advanced"), size: size},
	)
	if size == 0 {
		s.contenders = append(s.contenders, &scriptStream{script: node("Node fork, json", "json"), size: size})
	}
	return s
}

func farmScenario(id, title string, length time.Duration) scenario {
	s := scenario{id: id, title: title, metrics: []metric{
		{name: "of two perfect cores", unit: "%", more: true, chart: true},
		{name: "rate", unit: "1000 tasks/s", more: true},
	}}
	for _, f := range []farmer{
		bare(),
		&barePeer{title: "bare pipe, 64 a frame", batched: true},
		&labPeer{title: "multiprolab Map, unordered"},
		&labPeer{title: "multiprolab Map, ordered", ordered: true},
		&labPeer{title: "multiprolab tasks, one by one", single: true},
		new(rpcPeer), new(rpcPluginPeer), new(grpcPluginPeer), new(natsPeer),
	} {
		s.contenders = append(s.contenders, &farm{farmer: f, length: length})
	}
	for _, chunk := range []int{128, 1} {
		s.contenders = append(
			s.contenders,
			&scriptFarm{
				script: python(fmt.Sprintf("Python Pool, chunks of %d", chunk), "pool"),
				length: length,
				chunk:  chunk,
			},
			&scriptFarm{
				script: python(fmt.Sprintf("Python ProcessPoolExecutor, %d", chunk), "executor"),
				length: length,
				chunk:  chunk,
			},
		)
	}
	s.contenders = append(s.contenders,
		&scriptFarm{script: node("Node fork, advanced", "advanced"), length: length},
		&scriptFarm{script: node("Node fork, json", "json"), length: length},
	)
	return s
}

func startScenario() scenario {
	s := scenario{
		id:      "start",
		title:   "Start of one worker to its first reply, and its memory when idle",
		metrics: []metric{{name: "start", unit: "ms", chart: true}},
	}
	if canReadMemory {
		s.metrics = append(
			s.metrics,
			metric{name: "private memory", unit: "MiB", chart: true},
			metric{name: "Pss", unit: "MiB"},
		)
	}
	for _, p := range []*script{
		solo("bare pipe", "solo_bare", ""),
		solo("multiprolab", "solo_multiprolab", ""),
		solo("net/rpc over pipes", "solo_rpc", ""),
		solo("go-plugin, net/rpc", "solo_plugin", "rpc"),
		solo("go-plugin, gRPC", "solo_plugin", "grpc"),
		solo("NATS on loopback", "solo_nats", ""),
		python("Python Pipe", "item"),
		python("Python Pool", "pool"),
		python("Python ProcessPoolExecutor", "executor"),
		node("Node fork, advanced", "advanced"),
		node("Node fork, json", "json"),
	} {
		s.contenders = append(s.contenders, &scriptFirst{p})
	}
	return s
}

func crowdScenario(workers int, plugins bool) scenario {
	s := scenario{
		id:    fmt.Sprintf("crowd-%d", workers),
		title: fmt.Sprintf("%d workers: start all, then ask all at once", workers),
		metrics: []metric{
			{name: "start", unit: "ms", chart: true},
			{name: "ask p50", unit: "ms", chart: true},
			{name: "ask p99", unit: "ms"},
		},
	}
	programs := []*script{
		solo("bare pipe", "solo_bare", ""),
		solo("multiprolab Broadcast", "solo_multiprolab", ""),
		solo("multiprolab Calls", "solo_multiprolab", "calls"),
		solo("net/rpc over pipes", "solo_rpc", ""),
	}
	if plugins {
		programs = append(programs, solo("go-plugin, gRPC", "solo_plugin", "grpc"))
	}
	for _, p := range programs {
		s.contenders = append(s.contenders, &scriptCrowd{p, workers})
	}
	return s
}
