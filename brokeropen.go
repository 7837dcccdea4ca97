package multiprolab

import (
	"cmp"
	crand "crypto/rand"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/recorder"
	"github.com/multiprolab/multiprolab/internal/store"
)

// This file is the beginning and the end of the broker, in main.

// newBroker returns a broker that takes no tasks before open.
func newBroker(n *node, cfg *Config, record *recorder.Counter, a *announcer) *broker {
	b := &broker{node: n, epoch: time.Now(), staff: newStaff(), loops: loopWaits{clients: map[string]*client{}}}
	b.mu.carryOut = b.carryOut
	b.rules = recorder.NewTasks(record, queue.Config{
		Limit:      cfg.QueueLimit,
		LimitBytes: cfg.QueueBytes,
		DeadLimit:  cfg.DeadLimit,
		Stored:     cfg.Backend != nil,
		Rand:       rand.Float64,
		Busy:       b.staff.busy,
	})
	if cfg.Backend != nil {
		b.store = store.New(store.Config{
			Backend: cfg.Backend,
			Run:     crand.Text()[:16],
			Happens: b.happens,
			Foreign: func(t backend.Task) (*store.Entry, error) { return foreignEntry(n.codec, t) },
			Warnf:   func(text string, args ...any) { a.log(slog.LevelWarn, fmt.Sprintf(text, args...)) },
		})
	}
	return b
}

// open makes the pools and their instances known to the broker. From then on it takes tasks.
func (b *broker) open(pools []*pool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules.Allow(defaultQueueBytes())
	for _, p := range pools {
		b.addPool(p)
	}
	if b.store != nil {
		b.store.Open()
	}
}

// end gives every task that is left the outcome err. It is called once no worker is left.
func (b *broker) end(err error) {
	b.mu.Lock()
	b.stopped = cmp.Or(b.stopped, err)
	b.rules.End()
	b.mu.carryOut()
	if b.timer != nil {
		b.timer.Stop()
	}
	b.mu.Unlock()
	if b.store != nil {
		b.store.Close()
	}
}
