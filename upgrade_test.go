package multiprolab_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// Upgrade is refused where it would do harm, and says why.
func TestUpgradeIsRefused(t *testing.T) {
	l := newLab(t, nil, pool{"lab", nil})
	require.EqualError(t, l.Upgrade(bounded(t)), "multiprolab: the workers have not been started: call Run or Start first")
	startReady(t, l)
	require.EqualError(t, l.Upgrade(bounded(t)),
		"multiprolab: Upgrade is not possible: this is the binary of a test, which would run its tests again")
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Upgrade(bounded(t)), multiprolab.ErrStopped)
}

// A signal that has a meaning already is no signal for an upgrade.
func TestUpgradeSignalIsChecked(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, os.Kill, syscall.SIGTERM, syscall.SIGHUP} {
		var wrong *multiprolab.ConfigError
		err := multiprolab.New(&multiprolab.Config{UpgradeSignal: sig}).Run(bounded(t))
		require.ErrorAs(t, err, &wrong)
		require.Equal(t, "Config.UpgradeSignal", wrong.Field)
	}
}
