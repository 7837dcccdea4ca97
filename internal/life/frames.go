package life

import (
	"maps"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/pack"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file is what main and a worker say to each other at the start and at the end of its life.
// Main says Welcome before anything else. The worker says Hello, Readiness and Farewell, in this
// order.

// Welcome is what main tells a worker before anything else. It is in the pipe before the worker
// says hello, so that the worker need not wait for it.
type Welcome struct {
	// Identity is that of main's binary.
	Identity string
	// Pools are all the pools of the program.
	Pools Pools
	// MaxBody is the greatest length of a body in bytes.
	MaxBody int
	// Window is how much a receiver may have to handle, in bytes.
	Window int
	// Credit is what the lives before have left of the window, in bytes. It is less than zero if
	// they have taken more than all.
	Credit int64
	// Shares says that main has the memory that it shares with the worker.
	Shares bool
	// MemoryLimit is how much memory the process may use, in bytes. Zero means no limit.
	MemoryLimit int64
	// MaxRSS is above how many bytes of resident memory the worker asks to be replaced. Zero means
	// that it never does.
	MaxRSS int64
	// Teardown is the time for the OnExit functions.
	Teardown time.Duration
	// Limits are those that the process puts on itself.
	Limits proc.Limits
	// HandlerTimeout is how long a handler may run. Zero means no limit.
	HandlerTimeout time.Duration
	// Redelivers says that main hands messages that the worker has not handled to its replacement.
	Redelivers bool
	// Log is what main wants of the log of the worker.
	Log Log
}

// Log is what main wants of the log of a worker.
type Log struct {
	// Mode says what of the worker's logs goes to main. What the values mean is not known here.
	Mode int
	// Level is the least level of the records that main takes.
	Level int
	// Window is how much main keeps of the log and has not handled, in bytes.
	Window int
}

// Pack describes the layout.
func (w *Welcome) Pack(p *pack.Packing) {
	pack.Text(p, &w.Identity)
	w.Pools.Pack(p)
	pack.Number(p, &w.MaxBody)
	pack.Number(p, &w.Window)
	pack.Number(p, &w.Credit)
	pack.Flag(p, &w.Shares)
	pack.Number(p, &w.MemoryLimit)
	pack.Number(p, &w.MaxRSS)
	pack.Number(p, &w.Teardown)
	pack.Number(p, &w.Limits.OpenFiles)
	pack.Number(p, &w.Limits.CPUTime)
	pack.Number(p, &w.Limits.Nice)
	pack.Number(p, &w.Limits.OOMScoreAdj)
	pack.List(p, &w.Limits.CPUs, pack.Number)
	pack.Number(p, &w.Limits.GOMAXPROCS)
	pack.Number(p, &w.HandlerTimeout)
	pack.Flag(p, &w.Redelivers)
	pack.Number(p, &w.Log.Mode)
	pack.Number(p, &w.Log.Level)
	pack.Number(p, &w.Log.Window)
}

// Pools are the names of the pools and their numbers of workers.
type Pools map[string]int

// Pack describes the layout.
func (s *Pools) Pack(p *pack.Packing) {
	names := slices.Collect(maps.Keys(*s))
	pack.List(p, &names, pack.Text)
	if *s == nil {
		*s = Pools{}
	}
	for _, name := range names {
		n := (*s)[name]
		pack.Number(p, &n)
		(*s)[name] = n
	}
}

// Hello is the first frame of a worker.
type Hello struct {
	// Identity is that of the worker's binary.
	Identity string
	// Shares says that the worker has the memory that it shares with main.
	Shares bool
}

// Pack describes the layout.
func (h *Hello) Pack(p *pack.Packing) {
	pack.Text(p, &h.Identity)
	pack.Flag(p, &h.Shares)
}

// Readiness is what a worker says when its setup function has returned.
type Readiness struct {
	// Failure is the packed error of the setup function. It is empty if there is none.
	Failure string
	// Tasks are the types that the worker's handlers take.
	Tasks []string
	// Pulls are the types that the worker asks for in its own time.
	Pulls []string
}

// Pack describes the layout.
func (r *Readiness) Pack(p *pack.Packing) {
	pack.Text(p, &r.Failure)
	pack.List(p, &r.Tasks, pack.Text)
	pack.List(p, &r.Pulls, pack.Text)
}

// Farewell is the last frame of a worker that ends by itself.
type Farewell struct {
	// Failure is the packed error that ended it. It is empty if there is none.
	Failure string
	// Lost is how many records of its log were lost, of which main was not told before.
	Lost int
}

// Pack describes the layout.
func (f *Farewell) Pack(p *pack.Packing) {
	pack.Text(p, &f.Failure)
	pack.Number(p, &f.Lost)
}
