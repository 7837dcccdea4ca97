package multiprolab_test

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// A worker that is killed while records of its log are lost has left behind how many.
func TestLossBeforeAKillIsCounted(t *testing.T) {
	out := &records{}
	g := newLogGate(out.logger(slog.LevelInfo).Handler())
	l := startLab(t, &multiprolab.Config{Logger: slog.New(g)}, workers("logger", 1))
	_, err := multiprolab.Do[int](bounded(t), l, "log-many", 1000) // some wait, in vain, until they are lost
	require.NoError(t, err)
	require.NoError(t, l.Kill("logger/0"))
	waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool { return e.Worker == "logger/0" })
	close(g.open)
	require.NoError(t, l.Close())
	lost := 0
	for _, r := range out.of(t, "multiprolab: records of the worker are lost, for the handler of the log is behind") {
		lost += int(r["count"].(float64))
	}
	require.Greater(t, lost, 1)
	require.Equal(t, 1000, len(out.of(t, "one of many"))+lost)
}
