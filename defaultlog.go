package multiprolab

import (
	"context"
	"log/slog"
)

// defaultLog is the handler of the logger of a Main whose Config has none: that of slog.Default, at
// the time of each record, because New may come before the program sets its own. It exists in every
// process, and has no state.
type defaultLog struct{}

func (defaultLog) Enabled(ctx context.Context, level slog.Level) bool {
	return slog.Default().Enabled(ctx, level)
}

func (defaultLog) Handle(ctx context.Context, r slog.Record) error {
	return slog.Default().Handler().Handle(ctx, r)
}

func (defaultLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return slog.Default().Handler().WithAttrs(attrs)
}

func (defaultLog) WithGroup(name string) slog.Handler {
	return slog.Default().Handler().WithGroup(name)
}
