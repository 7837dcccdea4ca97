package fleet_test

import (
	"fmt"
	"testing"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// BenchmarkProgram is a program of n workers in a group that need n others: all start, one of them
// fails, all restart, all end. It shows that no step looks at all slots for each of them.
func BenchmarkProgram(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				program(n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/worker")
		})
	}
}

func program(n int) {
	f := fleet.New(fleet.Config{})
	d := fleet.PoolDesc{Count: n, Limit: 10, Window: 1, Factor: 1}
	f.Add(d)
	d.Needs = []fleet.Pool{0}
	f.Add(d)
	f.Group(fleet.AllForOne, 0, 1)
	f.Begin(0)
	var todo []fleet.Effect
	carryOut := func() {
		for todo = f.Effects(todo[:0]); len(todo) > 0; todo = f.Effects(todo[:0]) {
			for _, e := range todo {
				switch e.Kind {
				case fleet.Spawn:
					f.Started(e.Slot)
					f.Greeted(e.Slot)
					f.Up(e.Slot, 0)
				case fleet.LeadOut:
					f.Ended(e.Slot, fleet.How{}, 0)
				}
			}
		}
	}
	carryOut()
	f.Ended(fleet.Slot(n), fleet.How{Failed: true}, 0)
	carryOut()
	f.Exit(fleet.FinishRunning)
	f.End()
	carryOut()
}
