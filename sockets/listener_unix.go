//go:build unix

package sockets

import (
	"net"
	"os"
)

// listenerOf makes a listener of a descriptor that this process has inherited, and closes the
// descriptor.
func listenerOf(name string, fd uintptr) (net.Listener, error) {
	file := os.NewFile(fd, name)
	defer file.Close() // the listener has a duplicate
	return net.FileListener(file)
}

// packetConnOf makes a packet connection of a descriptor that this process has inherited, and
// closes the descriptor.
func packetConnOf(name string, fd uintptr) (net.PacketConn, error) {
	file := os.NewFile(fd, name)
	defer file.Close() // the connection has a duplicate
	return net.FilePacketConn(file)
}
