package multiprolab

import (
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/upgrade"
)

// This file is how tasks that wait in main's memory go from an old version of the program to the
// new one. Those in a Backend stay where they are.

// handOverTasks has the tasks handed over that end only because the program does. The items of a
// Map end: they are for the one who called it.
func (m *Main) handOverTasks() {
	b := m.broker
	if b.store != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heir = func(j *job, due time.Duration) {
		if j.Items == 0 {
			t := upgrade.Task{
				Type:     j.Lane().Type,
				Options:  j.storedDue(due),
				Body:     string(packBody(b.node.codec, j.payload)),
				Attempts: j.Begun(),
			}
			if j.past != nil && j.past.checkpoint != nil {
				t.Checkpoint = string(packBody(b.node.codec, *j.past.checkpoint))
			}
			m.upgrade.handOver(t)
		}
	}
}

// storedDue is stored, but with the time that is left of the delay.
func (j *job) storedDue(due time.Duration) string {
	m, err := unmarshalTaskMeta(j.stored())
	if err != nil { // that would be what this process has written itself
		return ""
	}
	m.Delay = due
	return m.marshal()
}

// resumeTasks goes on with the tasks of the old version. Nobody waits for their outcomes.
func (m *Main) resumeTasks(all []upgrade.Task) {
	for i := range all {
		if err := m.broker.resume(&all[i]); err != nil {
			m.cfg.Logger.Error("multiprolab: a task of the old version of the program is lost", "type", all[i].Type,
				"error", brief(err))
		}
	}
}

// resume takes a task of the old version of the program.
func (b *broker) resume(t *upgrade.Task) error {
	meta, err := unmarshalTaskMeta(t.Options)
	if err != nil {
		return fmt.Errorf("its options: %w", err)
	}
	p, err := unpackBody(b.node.codec, []byte(t.Body))
	if err != nil {
		return err
	}
	j := newJob(p, &meta)
	if err := j.goOnFrom([]byte(t.Checkpoint), b.node.codec); err != nil {
		return err
	}
	j.Resume(t.Attempts)
	return b.submit(j, &meta, t.Type, true)
}
