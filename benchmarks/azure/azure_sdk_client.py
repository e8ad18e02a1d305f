"""Debian's Azure SDK for Python (python3-azure-storage), doing what http_client_benchmark does.

    azure_sdk_client.py URL-WITH-SAS GET|PUT|HEAD requests in-flight bytes
"""
import concurrent.futures
import json
import resource
import sys
import time

from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobClient
import requests

url, method, count, in_flight, size = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
body = bytes(size)
session = requests.Session()
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=in_flight))
# One request a blob, and one connection a thread: its best case.
client = BlobClient.from_blob_url(url, transport=RequestsTransport(session=session),
                                  max_single_get_size=2 * size, max_single_put_size=2 * size)


def one(_):
    if method == "GET":
        return len(client.download_blob().readall())
    if method == "PUT":
        client.upload_blob(body, overwrite=True)
        return size
    client.get_blob_properties()
    return 0


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


begin, cpu_begin = time.monotonic(), cpu()
with concurrent.futures.ThreadPoolExecutor(in_flight) as pool:
    moved = list(pool.map(one, range(count)))
print(json.dumps({"succeeded": len(moved), "bytes": sum(moved),
                  "seconds": time.monotonic() - begin, "cpu": cpu() - cpu_begin}))
