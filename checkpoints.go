package multiprolab

import (
	"bytes"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what main does with checkpoints: it keeps the last one of each task, and sends it
// ahead of the next attempt.

// checkpointed keeps a checkpoint of a worker.
func (b *broker) checkpointed(p *peer, f *wire.Frame) error {
	if len(f.Body) > MaxCheckpoint {
		return lie("the checkpoint of a task has %d bytes, and %d are allowed", len(f.Body), MaxCheckpoint)
	}
	saved := payloadOf(f)
	saved.Data, saved.Lent = bytes.Clone(f.Body), false // f may share its memory with others, and would keep it
	b.mu.Lock()
	defer b.mu.Unlock()
	t, lies := b.rules.Checkpoint(p.worker, queue.ID(f.ID), len(f.Body))
	if t != nil {
		j := jobOf(t)
		j.history().checkpoint = &saved
		if lease := j.Lease(); lease != nil {
			lease.Checkpoint(b.node.codec.Pack(saved))
		}
	}
	return accuse(lies, "saved a checkpoint of")
}

// sendLast sends a worker the last checkpoint of a job that it is about to get.
func (j *job) sendLast(p *peer) {
	if j.past == nil || j.past.checkpoint == nil {
		return
	}
	f := &wire.Frame{Kind: wire.Checkpoint, ID: uint64(j.ID())}
	setPayload(f, *j.past.checkpoint)
	p.link.Tell(link.Quietly, f) // who sends the task pushes it
}
