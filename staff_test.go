package multiprolab

import (
	"bytes"
	"errors"
	"testing"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// TestLifeThatHasLeftDoesNotEnter: who reads a wire may come to a worker's word that it is ready
// when main has given the life up. No task goes to it, though its instance is there or is not.
func TestLifeThatHasLeftDoesNotEnter(t *testing.T) {
	for _, removed := range []bool{false, true} {
		th := newTheatre(t, nil, map[string]WorkerConfig{"pool": {Count: 2}})
		s := th.slot("pool/1")
		p := newPeer(s, 1)
		p.connect(&puppetBody{ended: make(chan struct{})}, bytes.NewReader(nil), &bytes.Buffer{})
		s.beginLife(p)
		if _, err := p.receive(life.Packed(wire.Hello, &life.Hello{})); err != nil {
			t.Fatal(err)
		}
		if removed {
			if err := th.Resize("pool", 1); err != nil {
				t.Fatal(err)
			}
		}
		th.broker.leave(p, errors.New("it was killed"))
		if removed {
			th.broker.bury(s, errors.New("it has left"))
		}
		if _, err := p.receive(life.Packed(wire.Ready, &readiness{Tasks: []string{"task"}})); err != link.ErrClosed {
			t.Errorf("removed %v: %v", removed, err)
		}
		if n := th.broker.rules.Residue().Workers; n != 0 {
			t.Errorf("removed %v: the rules of tasks know a worker that has left", removed)
		}
	}
}
