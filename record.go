package multiprolab

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/multiprolab/multiprolab/internal/recorder"
)

// WriteRecord writes the record of main: its last events, about ten thousand, as lines of JSON.
// They are the starts, hellos, readies and ends of workers, the submission, assignment, beginning
// and end of tasks, kills with their reasons, deaths, messages that wait for room, pauses, resizes,
// restarts and the end of the program. The record holds names of workers, queues and types, keys of
// tasks, and no bodies. It is what to attach to a report of a fault; it may be written at any time,
// from any goroutine of main; in the process of a worker it is an error. Who reads it also reads
// the first words of the reasons of kills and, in a Config.RecordFile, the text of the error that
// the program has ended with.
func (m *Main) WriteRecord(w io.Writer) error {
	if e := m.outside(); e != nil {
		return e
	}
	if m.fleet == nil {
		return errNotStarted
	}
	return m.writeRecord(w, "it was asked for")
}

// writeRecord is WriteRecord, and says why.
func (m *Main) writeRecord(w io.Writer, why string) error {
	var rings []*recorder.Ring
	m.fleet.mu.Lock()
	rings = append(rings, m.fleet.rules.Ring.Copy())
	m.fleet.mu.Unlock()
	m.broker.mu.Mutex.Lock() // nothing has happened that was to be carried out
	rings = append(rings, m.broker.rules.Ring.Copy())
	m.broker.mu.Mutex.Unlock()
	err := recorder.Write(w, recorder.Header{
		Name: m.cfg.Name,
		PID:  os.Getpid(),
		Time: time.Now().Format(time.RFC3339Nano),
		Why:  why,
		Go:   runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
	}, append(rings, m.flight.Copy())...)
	if err != nil {
		return fmt.Errorf("multiprolab: the record could not be written: %w", err)
	}
	return nil
}

// saveRecord writes the record to Config.RecordFile, if there is one, in place of that of an
// earlier program. A second one of this program does not replace the first, which is nearer to the
// fault.
func (m *Main) saveRecord(why string) {
	path := m.cfg.RecordFile
	if path == "" {
		return
	}
	if m.saved.Swap(true) {
		path += ".end"
	}
	err := func() (err error) {
		f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
		if err != nil {
			return err
		}
		err = errors.Join(m.writeRecord(f, why), f.Close())
		if err == nil {
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
		return err
	}()
	if err != nil {
		m.log(slog.LevelWarn, "the record was not written to Config.RecordFile", slog.Any("error", err))
	}
}

// recordPanic saves the record while a function of main panics. It may not keep the process from
// its end: the panic may have come from the library, with a lock held.
func (m *Main) recordPanic() {
	if m.cfg.RecordFile == "" {
		return
	}
	saved := make(chan struct{})
	go func() { // ends with the process at the latest
		defer close(saved)
		m.saveRecord("a function of main has panicked")
	}()
	select {
	case <-saved:
	case <-time.After(time.Second):
	}
}

// checkRecordFile returns an error if the record could not be written: when it is needed it is too
// late to say so.
func (m *Main) checkRecordFile() error {
	path := m.cfg.RecordFile
	if path == "" {
		return nil
	}
	err := func() error {
		if i, err := os.Stat(path); err == nil && !i.Mode().IsRegular() {
			return errors.New("it is there, and is no regular file")
		}
		f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
		if err != nil {
			return err
		}
		return errors.Join(f.Close(), os.Remove(f.Name()))
	}()
	if err != nil {
		return &ConfigError{"Config.RecordFile", path, "the record could not be written there: " + err.Error() +
			": give a file in a directory that main can write to"}
	}
	return nil
}

// alarmed is the alarm of the watchdog.
func (m *Main) alarmed(task string) {
	m.log(slog.LevelWarn, "a task waits beside a worker that has nothing to do, which is a fault of the library: "+
		"please report it with the record of Main.WriteRecord or Config.RecordFile", slog.String("task", task))
	m.saveRecord("a task waits beside a worker that has nothing to do: " + task)
}
