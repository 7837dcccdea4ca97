package sockets

import (
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// To an inert nothing comes until its Close.
func TestInert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newInert()
		errs := make(chan error, 2)
		go func() { _, err := i.Accept(); errs <- err }()
		go func() { _, _, err := i.ReadFrom(nil); errs <- err }()
		synctest.Wait()
		require.Empty(t, errs)
		_, err := i.WriteTo([]byte("lost"), i.LocalAddr())
		require.Error(t, err)
		require.NoError(t, i.Close())
		require.NoError(t, i.Close())
		require.ErrorIs(t, <-errs, net.ErrClosed)
		require.ErrorIs(t, <-errs, net.ErrClosed)
	})
}
