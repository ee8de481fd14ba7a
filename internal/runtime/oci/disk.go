package oci

func (l *launch) mountDisk() error { return nil }

func (m *machine) diskUsed() int64 { return 0 }
