package multiprolab

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/errpack"
	"github.com/multiprolab/multiprolab/internal/logpack"
)

// An error that is too long for the way of errors crosses in a record all the same.
func TestLongErrorInALog(t *testing.T) {
	long := errors.New(strings.Repeat("x", errpack.MaxSize))
	r := slog.NewRecord(time.Now(), 0, "", 0)
	r.AddAttrs(slog.Any("err", long), slog.Any("short", errors.New("short")))
	got, err := logpack.Read(logpack.Append(nil, logErrors, &r, &logpack.Prefix{}), logErrors)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, slog.NewTextHandler(&out, nil).Handle(t.Context(), got))
	require.Contains(t, out.String(), " err="+long.Error()+" short=short\n")
}
