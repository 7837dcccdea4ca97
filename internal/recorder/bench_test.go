package recorder

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/queue"
)

// taskRules are the rules of tasks, with or without a record.
type taskRules interface {
	AddPool(p queue.Pool, o queue.PoolOptions)
	AddSlot(s queue.Slot, in queue.Pool)
	Enter(w queue.Worker, at queue.Slot, handles, pulls []string) queue.Lie
	Submit(t *queue.Task, to queue.Lane, waiting []queue.Slot, wait bool, now queue.Time) (queue.Refusal, queue.Lie)
	Began(w queue.Worker, id queue.ID, now queue.Time) queue.Lie
	Ended(w queue.Worker, id queue.ID, v queue.Verdict, now queue.Time) queue.Lie
	Tick(now queue.Time)
	Effects(spare []queue.Effect) []queue.Effect
}

// BenchmarkRecord is what the record adds to the events of one task.
func BenchmarkRecord(b *testing.B) {
	cfg := queue.Config{Limit: 100, LimitBytes: 1 << 20, Rand: rand.Float64, Busy: func(queue.Worker) int { return 0 }}
	for _, c := range []struct {
		name  string
		rules taskRules
		keys  bool // each task has a key of its own
	}{
		{"without", queue.New(cfg), false},
		{"with", NewTasks(new(Counter), cfg), false},
		{"keys, without", queue.New(cfg), true},
		{"keys, with", NewTasks(new(Counter), cfg), true},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.rules.AddPool(1, queue.PoolOptions{Queues: []string{"default"}})
			c.rules.AddSlot(1, 1)
			require.False(b, c.rules.Enter(1, 1, []string{"t"}, nil).Told())
			var effects []queue.Effect
			now := queue.Time(0)
			b.ReportAllocs()
			for b.Loop() {
				now += time.Microsecond
				t := &queue.Task{Number: 1}
				if c.keys {
					t.Options = &queue.Options{Key: now.String()}
				}
				c.rules.Submit(t, queue.Lane{Queue: "default", Type: "t"}, nil, true, now)
				effects = c.rules.Effects(effects)
				c.rules.Began(1, t.ID(), now)
				effects = c.rules.Effects(effects)
				c.rules.Ended(1, t.ID(), queue.Verdict{}, now)
				effects = c.rules.Effects(effects)
				if len(effects) == 0 {
					b.Fatal("nothing is to be done")
				}
				c.rules.Tick(now)
				effects = c.rules.Effects(effects)
			}
		})
	}
}
