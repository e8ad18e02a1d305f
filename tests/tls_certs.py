"""Certificate authorities and certificates for tests, made by the openssl program."""
import os
import subprocess


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """An authority of its own, whose files are in `directory` under `name`."""

    def __init__(self, directory, name):
        self.directory = directory
        self.name = name
        self.certificate = os.path.join(directory, f"{name}.pem")
        self.key = os.path.join(directory, f"{name}.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "2", "-subj", f"/CN={name}", "-keyout", self.key,
                "-out", self.certificate)

    def issue(self, name, common_name, alternative_names="", days=1):
        """The paths of a certificate and its key; with negative days it has expired."""
        base = os.path.join(self.directory, name)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={common_name}", "-keyout", base + ".key", "-out", base + ".csr")
        with open(base + ".ext", "w") as extensions:
            if alternative_names:
                extensions.write(f"subjectAltName={alternative_names}\n")
        openssl("x509", "-req", "-in", base + ".csr", "-CA", self.certificate, "-CAkey", self.key,
                "-CAcreateserial", "-days", str(days), "-extfile", base + ".ext",
                "-out", base + ".pem")
        return base + ".pem", base + ".key"


def read(path):
    with open(path, "rb") as file:
        return file.read()
