package upgrade

import (
	"fmt"
	"os"
	"time"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// This file is what becomes of a trial that has served: the new version of the program leads it to
// its end, and goes on with what it leaves.

// HandOn notes in h what the new version of the program has to know of the trial, if it still runs:
// its pipes go there as descriptors of their own, which nobody closes meanwhile. What it prints is
// not copied here any more.
func (t *Trial) HandOn(h *Handed) (err error) {
	if t.hasExited() { // its pid may be another process's by now
		return nil
	}
	if h.Life, err = duplicate(t.life); err != nil {
		return err
	}
	if h.Rest, err = duplicate(t.rest); err != nil {
		t.TakeBack(h)
		return err
	}
	h.Pid = t.process.Pid
	if h.Errors, err = duplicate(t.errors); err != nil { // nothing comes from it any more
		h.Errors = 0
	}
	// What was read is written, and nothing more is read here. An error says that there is nothing.
	if t.errors.SetReadDeadline(time.Now()) == nil {
		within(t.copied, time.Second) // whoever takes it may take longer
	}
	return nil
}

// TakeBack takes back what HandOn has noted in h, because the new version is not executed: as long
// as this process had its descriptors, the trial would not hear that it is to end. What the trial
// prints is copied here again.
func (t *Trial) TakeBack(h *Handed) {
	for _, fd := range []int{h.Life, h.Rest} {
		if fd > 0 {
			closeAll(os.NewFile(uintptr(fd), "of a trial"))
		}
	}
	if h.Errors > 0 {
		go t.copy(os.NewFile(uintptr(h.Errors), "stderr")) // ends when the trial and its workers have closed it
	}
	h.Pid, h.Life, h.Rest, h.Errors = 0, 0, 0, 0
}

// Left returns what a trial that has ended has left, or nil. It is called once.
func (t *Trial) Left() (*Handed, error) {
	defer closeAll(t.rest)
	b, err := readAll(t.rest)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	h := new(Handed)
	return h, pack.Unmarshal(b, h)
}

// Leave writes down the tasks and dead letters that a trial has accepted and that somebody else is
// to go on with. It does nothing in other processes, and if there are none.
func (c *Course) Leave(h *Handed) error {
	if c.report == nil || len(h.Tasks)+len(h.Dead) == 0 {
		return nil
	}
	b, rest := pack.Marshal(h), c.report.old.rest
	if len(b) > room() {
		return fmt.Errorf("no file may have %d bytes here", len(b))
	}
	_, err := rest.Write(b)
	return err
}
