package multiprolab

import (
	"context"
	"log"
	"log/slog"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/logbook"
	"github.com/multiprolab/multiprolab/internal/logpack"
)

// logErrors is how errors cross that are values in a record.
var logErrors = &logpack.Errors{Pack: marshalError, Unpack: unmarshalError}

// newLogbook returns the book of the workers' logs.
func newLogbook(logger *slog.Logger) *logbook.Book {
	return logbook.New(logbook.Options{
		Logger:  logger,
		Errors:  logErrors,
		Lost:    "multiprolab: records of the worker are lost, for the handler of the log is behind",
		Dropped: "multiprolab: records of workers that have ended are lost, for the handler of the log is behind",
		Missed:  "multiprolab: records of events are lost, for the handler of the log is behind",
	})
}

// Logger returns a logger whose records go to Config.Logger of main, whole and in order, with the
// attributes "worker", "pid" and "life" and, if they are logged with the context of a task, "task",
// a group of "id" and "type". A record is on its way when the logger returns, and main gets it
// whatever becomes of this process then. While 512 KiB of records wait for the handler of main,
// logging waits with them, up to 5 seconds; records that are lost then are counted, and main's log
// says so. If the worker dies meanwhile, it says how many on Linux, and elsewhere that some are. A
// record of more than 128 KiB is cut, and has a group "!CUT" of its size and of what is cut. The
// level is that of main's handler, of which a worker hears within WorkerConfig.HeartbeatTimeout if
// it changes. Records of the workers of a Main in this worker have the attributes of both, this
// one's first.
//
// In a process of its own, slog.Default is this logger, but see Config.WorkerLogs.
func (w *Worker) Logger() *slog.Logger { return slog.New(w.logs.Handler()) }

// taskIn returns the task that ctx belongs to, or 0 and "".
func taskIn(ctx context.Context) (id uint64, typ string) {
	if t := TaskFrom(ctx); t != nil {
		return t.ID, t.Type
	}
	return 0, ""
}

// openLog takes in what main wants of the worker's log, before the setup function runs.
func (w *Worker) openLog(wanted *life.Log) {
	w.logs.Open(w.link, w.whole.Done(), wanted.Window, wanted.Level)
	if !w.role.process || WorkerLogs(wanted.Mode) == ForwardNone {
		return
	}
	out, flags, prefix := log.Writer(), log.Flags(), log.Prefix()
	slog.SetDefault(w.Logger()) // which has package log write to it as well
	if WorkerLogs(wanted.Mode) == ForwardSlog {
		log.SetOutput(out)
		log.SetFlags(flags)
		log.SetPrefix(prefix)
	}
}
